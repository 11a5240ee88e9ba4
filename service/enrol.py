"""``POST /gallery``: vehicles in, and the truth about what became of each."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from index.gallery import Enrolment
from index.record import FieldsError, Record
from service.answers import EnrolmentResult, GalleryAnswer
from service.disconnect import while_connected
from service.engine import Engine, engine_of
from service.forms import METADATA, GalleryForm, Vehicle
from service.intake import Crop, Intake, Rejected, take_in_file
from service.problems import problem
from service.strict_form import strict_form
from service.worker import Admission

router = APIRouter(tags=["gallery"])

_ALL_THERE: dict[int | str, dict[str, Any]] = {
    200: {"model": GalleryAnswer, "description": "every acceptable vehicle was there already"},
}


@router.post(
    "/gallery",
    status_code=201,
    response_model=GalleryAnswer,
    responses=_ALL_THERE,
    dependencies=[Depends(strict_form(GalleryForm))],
)
async def enrol(
    request: Request,
    form: Annotated[GalleryForm, Form(media_type="multipart/form-data")],
    engine: Annotated[Engine, Depends(engine_of)],
) -> JSONResponse:
    """Enrols up to 256 files. When it answers, every vehicle called enrolled is on disk and found by queries.

    The same content and box again is a duplicate: nothing changes, so a request can safely be sent twice.
    """
    per_file = _vehicles(form)
    with engine.worker.admit(sum(map(len, per_file)), urgent=False) as admission:
        async with while_connected(request):
            files = zip(form.images, per_file, strict=True)
            settled = await asyncio.gather(*(_embed_file(engine, admission, *file) for file in files))
        outcomes = [outcome for of_file in settled for outcome in of_file]
        # One transaction for the whole request, and no way back once it has begun.
        enrolments = [enrolment for _, enrolment in outcomes if enrolment is not None]
        loop = asyncio.get_running_loop()
        enrolled = iter(await loop.run_in_executor(engine.pools.write, engine.gallery.enrol, enrolments))
    results = [
        result if enrolment is None else _told(result, (became := next(enrolled)).duplicate, became.differing)
        for result, enrolment in outcomes
    ]
    return _answer(results, engine.warnings())


# What is to be said of a vehicle, and what is to be stored of it, if anything.
_Outcome = tuple[EnrolmentResult, Enrolment | None]


def _vehicles(form: GalleryForm) -> list[list[Vehicle]]:
    """Per file, its vehicles."""
    if form.metadata is None:
        return [[Vehicle.whole_image()] for _ in form.images]
    try:
        metadata = METADATA.validate_json(form.metadata)
    except ValidationError as error:
        # As if FastAPI had read the JSON itself.
        errors = [{**entry, "loc": ("body", "metadata", *entry["loc"])} for entry in error.errors(include_url=False)]
        raise RequestValidationError(errors) from None
    if len(metadata) != len(form.images):
        raise FieldsError(
            f"metadata has {len(metadata)} objects for {len(form.images)} files: give one per file, in their order"
        )
    return [image.vehicles() for image in metadata]


async def _embed_file(
    engine: Engine, admission: Admission, upload: UploadFile, vehicles: list[Vehicle]
) -> list[_Outcome]:
    intake = await asyncio.get_running_loop().run_in_executor(
        engine.pools.decode_enrol, take_in_file, engine, admission, upload.file, vehicles
    )
    return [await _embed_vehicle(engine, upload.filename or "", intake, vehicle) for vehicle in intake.vehicles]


async def _embed_vehicle(engine: Engine, filename: str, intake: Intake, vehicle: Crop | Rejected) -> _Outcome:
    if isinstance(vehicle, Rejected):
        rejected = EnrolmentResult(filename=filename, status="rejected", box=vehicle.box, detail=vehicle.detail)
        return rejected, None
    result = EnrolmentResult(filename=filename, status="enrolled", id=vehicle.id, box=str(vehicle.box))
    if isinstance(vehicle.source, Record):
        return _told(result, True, vehicle.source.fields.differing(vehicle.fields)), None
    try:
        embedded = await asyncio.wrap_future(vehicle.source)
    except Exception as error:  # whatever the device does with this image, the others go on
        detail = f"the network could not embed it: {error}"
        return result.model_copy(update={"status": "rejected", "id": None, "detail": detail}), None
    record = Record(
        id=vehicle.id,
        content=intake.content,
        media_type=intake.media_type,
        box=vehicle.box,
        whole_image=vehicle.whole_image,
        fields=vehicle.fields,
        embedding=embedded.embedding,
        theta=embedded.theta,
        model=engine.model,
        enrolled_at=datetime.now(UTC),
    )
    return result, Enrolment(record, intake.read)


def _told(result: EnrolmentResult, duplicate: bool, differing: Sequence[str]) -> EnrolmentResult:
    """The result with what the gallery had to say; `differing` fields are there for known content only."""
    if not duplicate and not differing:
        return result
    status = "duplicate" if duplicate else "enrolled"
    detail = "already enrolled" if duplicate else "embedded anew, it was of another model"
    if differing:
        detail += f"; its own {', '.join(differing)} stayed as they were"
    return result.model_copy(update={"status": status, "detail": detail})


def _answer(results: list[EnrolmentResult], warnings: list[str]) -> JSONResponse:
    num = {status: sum(r.status == status for r in results) for status in ("enrolled", "duplicate", "rejected")}
    answer = GalleryAnswer(
        results=results,
        enrolled=num["enrolled"],
        duplicates=num["duplicate"],
        rejected=num["rejected"],
        warnings=warnings,
    )
    body = answer.model_dump(mode="json")
    if num["rejected"] == len(results):
        return problem(422, "Every vehicle rejected", f"{results[0].filename}: {results[0].detail}", **body)
    return JSONResponse(body, 201 if num["enrolled"] else 200)
