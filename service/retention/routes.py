"""``GET /gallery/retention``: what the rule would delete now."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict

from index.gallery.retention import Retention
from service.answers import Count
from service.disconnect import while_connected
from service.engine import Engine, engine_of
from service.strict_fields import strict_query_string

router = APIRouter(prefix="/gallery", tags=["gallery"], dependencies=[Depends(strict_query_string)])


def _understood(rule: str) -> str:
    Retention.parse(rule)
    return rule


class RetentionParameters(BaseModel):
    """``GET /gallery/retention``."""

    model_config = ConfigDict(extra="forbid")

    rule: Annotated[str, Strict(), Field(max_length=4000), AfterValidator(_understood)] | None = Field(
        None, description="another rule than SANET_RETENTION, to see what it would delete"
    )


class RetentionAnswer(BaseModel):
    """What a rule would delete now; nothing is deleted by asking."""

    rule: str | None = Field(description="null: SANET_RETENTION is not set, and every record is kept")
    records: int = Field(description="records that are older than the rule keeps them")
    cameras: list[Count] = Field(description="how many of each camera, the most first")


@router.get("/retention")
async def retention(
    request: Request,
    parameters: Annotated[RetentionParameters, Query()],
    engine: Annotated[Engine, Depends(engine_of)],
) -> RetentionAnswer:
    """What SANET_RETENTION, or another rule, would delete now: a dry run.

    The rule that is set is applied every hour, by itself.
    """
    rule = parameters.rule or engine.settings.retention
    if rule is None:
        return RetentionAnswer(rule=None, records=0, cameras=[])
    expired = Retention.parse(rule).at(datetime.now(UTC))
    async with while_connected(request):
        counts = await engine.pools.read.run(engine.gallery.count_expired, expired)
    cameras = [
        Count(value=camera, count=count)
        for camera, count in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0] or ""))
    ]
    return RetentionAnswer(rule=rule, records=sum(counts.values()), cameras=cameras)
