"""``/jobs/{id}/groups``: seeing the groups that a job proposes, accepting them, or refusing them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from index.gallery.errors import DamagedRecordError, RecordNotFoundError
from index.gallery.fields import shorten
from index.gallery.gallery import Gallery
from index.gallery.record import Record
from model.number import NumberError, whole_number
from service import problems
from service.access.call import note
from service.disconnect import while_connected
from service.engine import Engine, engine_of
from service.jobs.errors import GroupNotFoundError
from service.jobs.group_answers import GroupAnswer, GroupsAnswer, ReviewedAnswer
from service.jobs.group_forms import GroupReview, GroupsParameters
from service.jobs.group_review import GroupPart, page_of_groups, review_group
from service.jobs.proposed_group import RESULT
from service.json_text import read_json
from service.number_cursor import number_of
from service.openapi import json_body
from service.strict_fields import strict_query_string
from service.writing import write

router = APIRouter(prefix="/jobs", tags=["jobs"], dependencies=[Depends(strict_query_string)])

Ready = Annotated[Engine, Depends(engine_of)]


@router.get("/{id}/groups", responses=problems.response(404, "there is no such job, or it has no groups (yet)"))
async def job_groups(
    request: Request,
    id: str,  # noqa: A002 (the contract's name)
    parameters: Annotated[GroupsParameters, Query()],
    engine: Ready,
) -> GroupsAnswer:
    """The groups of two records or more that a job of the kind `group` proposes, the largest first, page by page.

    Groups in which every record had its identity before are not among them.
    """
    async with while_connected(request):
        return await engine.pools.read.run(_page, engine, id, parameters)


@router.post(
    "/{id}/groups/{number}",
    openapi_extra=json_body(GroupReview),
    responses=problems.response(404, "there is no such job, or no such group of it")
    | problems.response(409, "it was reviewed otherwise, or a record has another identity since; nothing was changed"),
)
async def review(request: Request, id: str, number: str) -> ReviewedAnswer:  # noqa: A002
    """Gives the records of a group an identity, all at one moment, or refuses the group.

    It is durable when it answers. Sent again, it changes nothing and answers the same.
    """
    given = await read_json(request, GroupReview)
    note(request.scope, review=given.action, identity=given.identity, records=given.records)
    # By the one thread that writes: two reviews of a group come one after the other.
    reviewed = await write(request, lambda engine: _review(engine, id, number, given))
    note(request.scope, changed=len(reviewed.changed))
    return reviewed


def _page(engine: Engine, id_: str, parameters: GroupsParameters) -> GroupsAnswer:
    path = engine.jobs.file(id_, RESULT)
    after = 0 if parameters.cursor is None else number_of(parameters.cursor)
    job = engine.jobs.store.get(id_)
    page = page_of_groups(path, job, engine.jobs.groups, parameters.limit, after, parameters.state)
    groups = [GroupAnswer.of(job.id, part, _records(engine.gallery, part)) for part in page.parts]
    return GroupsAnswer(groups=groups, next_cursor=page.next_cursor, total=page.total)


def _review(engine: Engine, id_: str, number: str, given: GroupReview) -> ReviewedAnswer:
    path = engine.jobs.file(id_, RESULT)
    job = engine.jobs.store.get(id_)
    try:
        group = whole_number(number)
    except NumberError:
        raise GroupNotFoundError(f"{shorten(number)} is no number of a group") from None
    reviewed = review_group(path, job, group, engine.jobs.groups, engine.gallery, given.identity, given.records)
    return ReviewedAnswer.of(reviewed)


def _records(gallery: Gallery, part: GroupPart) -> dict[str, Record]:
    """The records of the members that are there and intact, by id."""
    found: dict[str, Record] = {}
    for member in part.members:
        try:
            found[member.id] = gallery.get(member.id)
        except (RecordNotFoundError, DamagedRecordError):
            continue
    return found
