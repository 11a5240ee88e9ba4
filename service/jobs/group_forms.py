"""What comes in about the groups that a job proposes."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.forms import Name, WholeNumber
from service.jobs.group_review import GroupState
from service.jobs.kinds.grouping import MAX_RECORDS


class GroupsParameters(BaseModel):
    """``GET /jobs/{id}/groups``."""

    model_config = ConfigDict(extra="forbid")

    state: GroupState | None = Field(None, description="only groups, and parts of groups, in this state")
    limit: WholeNumber = Field(50, ge=1, le=1000, description="groups on one page")
    cursor: str | None = Field(None, max_length=100, description="next_cursor of the page before")


class GroupReview(BaseModel):
    """``POST /jobs/{id}/groups/{number}``."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["accept", "refuse"]
    identity: Name | None = Field(None, description="accept: the records are this vehicle from now on")
    records: list[str] | None = Field(
        None,
        min_length=1,
        max_length=MAX_RECORDS,
        description="accept: only these ids; what is left of the group stays proposed. Without it all that are left",
    )

    @model_validator(mode="after")
    def _fits_its_action(self) -> Self:
        if self.action == "accept" and self.identity is None:
            raise ValueError("accept needs an identity: the name of the vehicle")
        if self.action == "refuse" and (self.identity is not None or self.records is not None):
            raise ValueError("refuse takes neither identity nor records: it is about all that is left of the group")
        return self
