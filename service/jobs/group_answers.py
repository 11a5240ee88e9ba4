"""What goes out about the groups that a job proposes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from index.gallery.record import Record
from service.jobs.group_review import GroupPart, GroupState, Reviewed
from service.jobs.proposed_group import Member


class MemberAnswer(BaseModel):
    """A record in a group, as the gallery has it now."""

    id: str
    distance: float = Field(description="Euclidean, from the nearest other record of the group")
    gone: bool = Field(description="it was deleted since, or is damaged; of its fields nothing is known then")
    identity: str | None
    camera: str | None
    captured_at: datetime | None
    image_url: str

    @classmethod
    def of(cls, member: Member, record: Record | None) -> Self:
        """The answer for a member, and its record if there is one."""
        fields = None if record is None else record.fields
        return cls(
            id=member.id,
            distance=member.distance,
            gone=fields is None,
            identity=None if fields is None else fields.identity,
            camera=None if fields is None else fields.camera,
            captured_at=None if fields is None else fields.captured_at,
            image_url=f"/gallery/{member.id}/image",
        )


class GroupAnswer(BaseModel):
    """A group, or the part of it that has one state and identity: accepting some of its records splits it."""

    number: int
    state: GroupState
    identity: str | None = Field(
        description="proposed: of those of its records that had one, all the same; accepted: what they were given"
    )
    members: list[MemberAnswer]
    url: str

    @classmethod
    def of(cls, job_id: str, part: GroupPart, records: Mapping[str, Record]) -> Self:
        """The answer for a part, with the records of its members that are there, by id."""
        return cls(
            number=part.number,
            state=part.state,
            identity=part.identity,
            members=[MemberAnswer.of(member, records.get(member.id)) for member in part.members],
            url=f"/jobs/{job_id}/groups/{part.number}",
        )


class GroupsAnswer(BaseModel):
    """``GET /jobs/{id}/groups``."""

    groups: list[GroupAnswer]
    next_cursor: str | None
    total: int = Field(description="groups that have such a part, on all pages")


class ReviewedAnswer(BaseModel):
    """``POST /jobs/{id}/groups/{number}``."""

    number: int
    state: GroupState
    identity: str | None
    records: list[str] = Field(description="what the review was about")
    changed: list[str] = Field(description="those of them that have the identity since")
    gone: list[str] = Field(description="those that could not be given it: deleted meanwhile, or damaged")

    @classmethod
    def of(cls, reviewed: Reviewed) -> Self:
        """The answer for a review."""
        part = reviewed.part
        return cls(
            number=part.number,
            state=part.state,
            identity=part.identity,
            records=[member.id for member in part.members],
            changed=reviewed.changed,
            gone=reviewed.gone,
        )
