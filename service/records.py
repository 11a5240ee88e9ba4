"""``/gallery`` and below: reading, changing and deleting what was enrolled."""

from collections.abc import Callable
from importlib import metadata
from typing import Annotated, Any, ParamSpec, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError

from index.gallery.record import Record
from index.gallery.timestamp import rfc3339
from model.image import BROWSER_MEDIA_TYPES, FORMATS, encode_image
from service import problems
from service.access.call import note
from service.answers import (
    ChangedAnswer,
    Count,
    DeletedAnswer,
    DeletionAnswer,
    DeletionsAnswer,
    ModelCount,
    PageAnswer,
    RecordAnswer,
    StatsAnswer,
    UndoneAnswer,
    undo_url,
)
from service.disconnect import while_connected
from service.engine import Engine, engine_of
from service.forms import DeletionsParameters, ListParameters, ManyParameters, StatsParameters, VehicleFields
from service.json_text import read_json
from service.openapi import json_body
from service.pools import Pool
from service.problems import OtherModelError
from service.strict_fields import strict_query_string
from service.writing import write

router = APIRouter(prefix="/gallery", tags=["gallery"], dependencies=[Depends(strict_query_string)])

Ready = Annotated[Engine, Depends(engine_of)]

_VERSION = metadata.version("sanet-retrieval")


def _files(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """A route's ``responses``: files of these types."""
    schema = {"type": "string", "format": "binary"}
    return {
        200: {"content": {media_type: {"schema": schema} for media_type in sorted(media_types)}},
        304: {"description": "`If-None-Match` has its `ETag`"},
    }


# A record's image and box never change, but it may be deleted: keep it for an hour. And never guess a type.
_HEADERS = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}

_OTHER_NUMBER = problems.response(409, "another number of records passes than was expected; nothing was done")
_NO_CONTENT_BUT_UNDO: dict[int | str, dict[str, Any]] = {
    204: {
        "headers": {
            "Link": {"schema": {"type": "string"}, "description": 'where it is undone, with rel="undo"'},
            "Undo-Until": {"schema": {"type": "string", "format": "date-time"}, "description": "until when"},
        }
    }
}

P = ParamSpec("P")
T = TypeVar("T")


async def _run(request: Request, pool: Pool, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` gives, in a thread of the pool; what waits there for a client that has gone is dropped.

    Raises:
        BusyError: too much waits already.
        ClientGoneError: the client has gone.
    """
    async with while_connected(request):
        return await pool.run(work, *args, **kwargs)


@router.get("")
async def page(request: Request, parameters: Annotated[ListParameters, Query()], engine: Ready) -> PageAnswer:
    """The records that pass the conditions, in the order of enrolment, page by page."""

    def read() -> PageAnswer:
        found = engine.gallery.page(parameters.to_filter(), parameters.limit, parameters.cursor)
        records = [RecordAnswer.of(record) for record in found.records]
        return PageAnswer(records=records, next_cursor=found.next_cursor, total=found.total)

    return await _run(request, engine.pools.read, read)


@router.get("/stats")
async def stats(request: Request, parameters: Annotated[StatsParameters, Query()], engine: Ready) -> StatsAnswer:
    """Counts per camera, identity and model, the most frequent first, at most `limit` of each."""
    counted = await _run(request, engine.pools.read, engine.gallery.stats, parameters.limit)
    return StatsAnswer(
        total=counted.total,
        searchable=counted.searchable,
        damaged=counted.damaged,
        damaged_images=counted.damaged_images,
        stray_images=counted.stray_images,
        index_problems=list(counted.index_problems),
        num_images=counted.num_images,
        num_cameras=counted.num_cameras,
        num_identities=counted.num_identities,
        cameras=[Count(value=value, count=count) for value, count in counted.cameras],
        identities=[Count(value=value, count=count) for value, count in counted.identities],
        models=[ModelCount(model=m, precision=p, count=count) for m, p, count in counted.models],
    )


@router.get("/deletions")
async def deletions(
    request: Request, parameters: Annotated[DeletionsParameters, Query()], engine: Ready
) -> DeletionsAnswer:
    """The deletions that can be undone, the newest first."""
    found = await _run(request, engine.pools.read, engine.gallery.deletions)
    return DeletionsAnswer(deletions=[DeletionAnswer.of(deletion) for deletion in found[: parameters.limit]])


@router.get("/{id}")
async def record(request: Request, id: str, engine: Ready) -> RecordAnswer:  # noqa: A002 (the contract's name)
    """One record."""
    return RecordAnswer.of(await _run(request, engine.pools.read, engine.gallery.get, id))


@router.get("/{id}/image", response_class=Response, responses=_files(*BROWSER_MEDIA_TYPES))
async def image(request: Request, id: str, engine: Ready) -> Response:  # noqa: A002
    """The record's vehicle: the enrolled file, byte for byte, where that is all of it and a browser shows it; else PNG.

    Sent to `POST /query`, it finds the record itself, at a distance of 0 but for float32's rounding.
    """

    def draw(found: Record) -> Response:
        if found.whole_image and found.media_type in BROWSER_MEDIA_TYPES:
            return Response(engine.gallery.image(found), media_type=found.media_type)
        return Response(encode_image(engine.crop_of(found), "PNG"), media_type="image/png")

    return await _picture(request, engine, id, draw)


@router.get(
    "/{id}/aligned",
    response_class=Response,
    responses=_files("image/jpeg") | problems.response(409, "another model embedded the record"),
)
async def aligned(request: Request, id: str, engine: Ready) -> Response:  # noqa: A002
    """The record's aligned view, as JPEG: its theta applied to its crop. There is none of another model's theta."""

    def draw(found: Record) -> Response:
        if found.model.fingerprint != engine.model.fingerprint:
            raise OtherModelError(
                f"the record {found.id} was embedded by the model {found.model.fingerprint:.12}, and this service does "
                "not know how that one aligns: enrol its image again"
            )
        view = engine.aligned_view(engine.card.preprocessing(engine.crop_of(found)), found.theta)
        return Response(encode_image(view, "JPEG"), media_type="image/jpeg")

    return await _picture(request, engine, id, draw)


@router.get("/{id}/frame", response_class=Response, responses=_files(*FORMATS.values()))
async def frame(request: Request, id: str, engine: Ready) -> Response:  # noqa: A002
    """The whole enrolled file, byte for byte; the record's `box` says where in it the vehicle is."""

    def read(found: Record) -> Response:
        return Response(engine.gallery.image(found), media_type=found.media_type)

    return await _picture(request, engine, id, read)


async def _picture(
    request: Request,
    engine: Engine,
    id_: str,
    draw: Callable[[Record], Response],
) -> Response:
    """What `draw` makes of a record, or 304 if the client has it already."""

    def answer() -> Response:
        found = engine.gallery.get(id_)
        # A record's id names its content and box; its theta changes only with the model that embedded it.
        etag = f'"{found.id}-{found.model.fingerprint[:16]}-{found.model.precision}-{_VERSION}"'
        known = ",".join(request.headers.getlist("if-none-match"))
        if known.strip() == "*" or etag in {tag.strip().removeprefix("W/") for tag in known.split(",")}:
            response = Response(status_code=304)
        else:
            response = draw(found)
        response.headers.update({**_HEADERS, "ETag": etag})
        return response

    return await _run(request, engine.pools.draw, answer)


@router.patch("/{id}", openapi_extra=json_body(VehicleFields))
async def change(request: Request, id: str) -> RecordAnswer:  # noqa: A002
    """Changes the fields that are sent and keeps the others; null clears one."""
    fields = await read_json(request, VehicleFields)
    note(request.scope, fields=fields.given())
    return RecordAnswer.of(await write(request, lambda engine: engine.gallery.update(id, fields.given())))


@router.patch("", openapi_extra=json_body(VehicleFields), responses=_OTHER_NUMBER)
async def change_many(request: Request, parameters: Annotated[ManyParameters, Query()], engine: Ready) -> ChangedAnswer:
    """Changes the fields that are sent of all records that pass the conditions, at one moment; all of them or none.

    Two identities become one with `?identity=A` and `{"identity": "B"}`; one becomes two with `?id=..&id=..` and
    `{"identity": "C"}`.
    """
    fields = await read_json(request, VehicleFields)
    note(request.scope, fields=fields.given())
    gallery, where = engine.gallery, parameters.to_filter()
    if parameters.expected is None:
        raise _expected_is_missing(await _run(request, engine.pools.read, gallery.count, where))
    expected = parameters.expected
    changed = await write(request, lambda engine: engine.gallery.update_passing(where, fields.given(), expected))
    note(request.scope, changed=changed)
    return ChangedAnswer(changed=changed)


@router.delete("/{id}", status_code=204, responses=_NO_CONTENT_BUT_UNDO)
async def delete(request: Request, id: str) -> Response:  # noqa: A002
    """Forgets a record, and its image unless another record shows it. The header `Link` says how that is undone."""
    deletion = await write(request, lambda engine: engine.gallery.delete(id))
    note(request.scope, deleted=deletion.num_records, deletion=deletion.id)
    response = Response(status_code=204)
    if url := undo_url(deletion):
        response.headers["Link"] = f'<{url}>; rel="undo"'
        response.headers["Undo-Until"] = rfc3339(deletion.undo_until)
    return response


# The name is older than the other conditions, and that of the function in generated clients.
@router.delete("", name="delete_identity", responses=_OTHER_NUMBER)
async def delete_many(request: Request, parameters: Annotated[ManyParameters, Query()], engine: Ready) -> DeletedAnswer:
    """Forgets all records that pass the conditions, at one moment. `identity` alone needs no `expected`."""
    gallery, where = engine.gallery, parameters.to_filter()
    if parameters.expected is None and not parameters.only_identity:
        raise _expected_is_missing(await _run(request, engine.pools.read, gallery.count, where))
    deletion = await write(request, lambda engine: engine.gallery.delete_passing(where, parameters.expected))
    note(request.scope, deleted=deletion.num_records, deletion=deletion.id)
    return DeletedAnswer.of(deletion)


@router.post("/deletions/{id}/undo", responses=problems.response(409, "it was undone already"))
async def undo(request: Request, id: str) -> UndoneAnswer:  # noqa: A002
    """Brings back what was deleted, as it was; all of it at one moment."""
    undone = await write(request, lambda engine: engine.undo(id))
    note(request.scope, restored=undone.restored)
    return UndoneAnswer(restored=undone.restored, enrolled_again=undone.enrolled_again, lost_images=undone.lost_images)


def _expected_is_missing(number: int) -> RequestValidationError:
    message = f"{number} records pass these conditions: if they are the ones you mean, add expected={number}"
    return RequestValidationError([{"type": "unclear", "loc": ("query", "expected"), "msg": message, "input": None}])
