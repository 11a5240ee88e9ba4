"""``/gallery`` and below: reading, changing and deleting what was enrolled."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query, Response

from model.image import encode_image
from service.answers import Count, DeletedAnswer, ModelCount, PageAnswer, RecordAnswer, StatsAnswer
from service.engine import Engine, engine_of
from service.forms import DeleteParameters, ListParameters, StatsParameters, VehicleFields

router = APIRouter(prefix="/gallery", tags=["gallery"])

Ready = Annotated[Engine, Depends(engine_of)]

# A record's image and box never change, but it may be deleted: keep it for an hour. And never guess a type.
_HEADERS = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}


@router.get("")
def page(parameters: Annotated[ListParameters, Query()], engine: Ready) -> PageAnswer:
    """The records that pass the conditions, in the order of enrolment, page by page."""
    found = engine.gallery.page(parameters.to_filter(), parameters.limit, parameters.cursor)
    records = [RecordAnswer.of(record) for record in found.records]
    return PageAnswer(records=records, next_cursor=found.next_cursor, total=found.total)


@router.get("/stats")
def stats(parameters: Annotated[StatsParameters, Query()], engine: Ready) -> StatsAnswer:
    """Counts per camera, identity and model, the most frequent first, at most `limit` of each."""
    counted = engine.gallery.stats(parameters.limit)
    return StatsAnswer(
        total=counted.total,
        searchable=counted.searchable,
        damaged=counted.damaged,
        num_images=counted.num_images,
        num_cameras=counted.num_cameras,
        num_identities=counted.num_identities,
        cameras=[Count(value=value, count=count) for value, count in counted.cameras],
        identities=[Count(value=value, count=count) for value, count in counted.identities],
        models=[ModelCount(model=m, precision=p, count=count) for m, p, count in counted.models],
    )


@router.get("/{id}")
def record(id: str, engine: Ready) -> RecordAnswer:  # noqa: A002 (the contract's name)
    """One record."""
    return RecordAnswer.of(engine.gallery.get(id))


@router.get("/{id}/image", response_class=Response)
def image(id: str, engine: Ready) -> Response:  # noqa: A002
    """The record's image: the enrolled file, byte for byte, or what its box cuts out of it, as PNG.

    Sent to `POST /query`, it finds the record itself, at a distance of 0 but for float32's rounding.
    """
    found = engine.gallery.get(id)
    if found.whole_image:
        return Response(engine.gallery.image(found), headers=_HEADERS, media_type=found.media_type)
    return Response(encode_image(engine.crop_of(found), "PNG"), headers=_HEADERS, media_type="image/png")


@router.get("/{id}/aligned", response_class=Response)
def aligned(id: str, engine: Ready) -> Response:  # noqa: A002
    """The record's aligned view, as JPEG: its theta applied to its crop."""
    found = engine.gallery.get(id)
    view = engine.aligned_view(engine.card.preprocessing(engine.crop_of(found)), found.theta)
    return Response(encode_image(view, "JPEG"), headers=_HEADERS, media_type="image/jpeg")


@router.patch("/{id}")
def change(id: str, fields: Annotated[VehicleFields, Body()], engine: Ready) -> RecordAnswer:  # noqa: A002
    """Changes the fields that are sent and keeps the others; null clears one."""
    return RecordAnswer.of(engine.gallery.update(id, fields.given()))


@router.delete("/{id}", status_code=204)
def delete(id: str, engine: Ready) -> None:  # noqa: A002
    """Forgets a record, and its image unless another record shows it."""
    engine.gallery.delete(id)


@router.delete("")
def delete_identity(parameters: Annotated[DeleteParameters, Query()], engine: Ready) -> DeletedAnswer:
    """Forgets every record of an identity."""
    return DeletedAnswer(deleted=engine.gallery.delete_identity(parameters.identity))
