"""``GET /audit``: who did what."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from service.audit.answers import AuditAnswer, EntryAnswer
from service.audit.audit_log import AuditLog
from service.audit.audit_store import AuditPage, AuditStoreError, AuditUnreadableError, Search
from service.forms import Name, Time, WholeNumber
from service.number_cursor import number_of
from service.strict_fields import strict_query_string

router = APIRouter(tags=["audit"], dependencies=[Depends(strict_query_string)])


class AuditParameters(BaseModel):
    """``GET /audit``."""

    model_config = ConfigDict(extra="forbid")

    key: Name | None = Field(None, description="only what this key did: its id, or its name")
    action: Name | None = Field(None, description="only this action, such as delete or refused")
    since: Time | None = Field(None, description="since <= at")
    until: Time | None = Field(None, description="at < until")
    limit: WholeNumber = Field(100, ge=1, le=1000, description="entries on one page")
    cursor: str | None = Field(None, max_length=100, description="next_cursor of the page before")


@router.get("/audit")
async def audit(request: Request, parameters: Annotated[AuditParameters, Query()]) -> AuditAnswer:
    """Who did what, when, from where, and what came of it; the newest first, page by page."""
    log: AuditLog = request.app.state.audit_log
    search = Search(parameters.key, parameters.action, parameters.since, parameters.until)
    before = None if parameters.cursor is None else number_of(parameters.cursor)

    def read() -> AuditPage:
        try:
            return log.store().page(search, parameters.limit, before)
        except AuditStoreError as error:
            raise AuditUnreadableError(str(error)) from error

    page = await asyncio.to_thread(read)
    return AuditAnswer(
        entries=list(map(EntryAnswer.of, page.entries)),
        next_cursor=None if page.next_before is None else str(page.next_before),
        total=page.total,
    )
