"""What ``GET /audit`` answers."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, Field

from service.audit.entry import Entry


class EntryAnswer(BaseModel):
    """One entry of the audit log."""

    seq: int = Field(description="rises with each entry")
    at: datetime
    action: str = Field(
        description="the operation's id in this document, key.create, key.revoke, key.rotate or refused"
    )
    caller: str = Field(description="the name of the key; anonymous where none is asked for")
    key: str | None = Field(description="the id of the key")
    peer: str | None = Field(description="the address that it came from")
    request_id: str | None
    status: int | None = Field(description="of the answer; null of what was only about to be done")
    facts: dict[str, Any] = Field(description="what was done to what: ids, counts, conditions; never an image")

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """What is said of an entry."""
        return cls(**vars(entry))


class AuditAnswer(BaseModel):
    """A page of the audit log, the newest first."""

    entries: list[EntryAnswer]
    next_cursor: str | None
    total: int
