"""``POST /gallery``: vehicles in, and the truth about what became of each."""

import asyncio
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from index.gallery.answers import Enrolled
from index.gallery.enrolment import Enrolment
from index.gallery.errors import ReplacedError
from index.gallery.fields import Fields, FieldsError, read_source
from index.gallery.intake import Vehicle
from index.gallery.record import Record
from model.embeddings import EmbeddingError
from service.access.call import note
from service.answers import EnrolmentResult, GalleryAnswer
from service.disconnect import while_connected
from service.engine import Engine, engine_of, lease_of
from service.forms import METADATA, GalleryForm
from service.intake import Crop, Intake, Rejected, take_in_file
from service.json_text import JsonError, parse_json
from service.multipart import read_form
from service.openapi import form_body
from service.problems import problem
from service.strict_fields import strict_query_string
from service.uploads import upload_bytes
from service.worker import Admission
from service.writing import successor_of

router = APIRouter(tags=["gallery"], dependencies=[Depends(strict_query_string)])

_ALL_THERE: dict[int | str, dict[str, Any]] = {
    200: {"model": GalleryAnswer, "description": "every acceptable vehicle was there already"},
}


@router.post(
    "/gallery",
    status_code=201,
    response_model=GalleryAnswer,
    responses=_ALL_THERE,
    openapi_extra=form_body(GalleryForm),
)
async def enrol(request: Request, engine: Annotated[Engine, Depends(engine_of)]) -> JSONResponse:
    """Enrols up to 256 files. When it answers, every vehicle called enrolled is on disk and found by queries.

    The same content and box again is a duplicate: nothing changes, so a request can safely be sent twice.
    """
    engine.worker.require_room(urgent=False)
    with engine.uploads.admit(upload_bytes(request, engine.max_request_bytes)):
        async with read_form(request, GalleryForm) as form:
            engine = lease_of(request).renew()  # what served when a slow body began may be closed by now
            while True:
                try:
                    return await _enrol(request, form, engine)
                except ReplacedError:  # another model serves by now, and embeds them anew
                    engine = successor_of(engine, request)


async def _enrol(request: Request, form: GalleryForm, engine: Engine) -> JSONResponse:
    per_file = _vehicles(form)
    with engine.worker.admit(sum(map(len, per_file)), urgent=False) as admission:
        async with while_connected(request):
            files = zip(form.images, per_file, strict=True)
            settled = await asyncio.gather(*(_embed_file(engine, admission, *file) for file in files))
        outcomes = [outcome for of_file in settled for outcome in of_file]
        # One transaction for the whole request, and no way back once it has begun.
        enrolments = [enrolment for _, enrolment in outcomes if enrolment is not None]
        start = time.perf_counter()
        enrolled = iter(await asyncio.wrap_future(engine.pools.write.submit(engine.gallery.enrol, enrolments)))
        engine.instruments.observe_stage("enrolment", "store", time.perf_counter() - start)
    results = [
        result if enrolment is None else _with_enrolled(result, next(enrolled)) for result, enrolment in outcomes
    ]
    note(
        request.scope,
        results=dict(Counter(result.status for result in results)),
        ids=[result.id for result in results if result.status == "enrolled"],
    )
    engine.instruments.count_enrolled(result.status for result in results)
    return _answer(results, engine.warnings())


# What is to be said of a vehicle, and what is to be stored of it, if anything.
_Outcome = tuple[EnrolmentResult, Enrolment | None]


def _vehicles(form: GalleryForm) -> list[list[Vehicle]]:
    """Per file, its vehicles."""
    if form.metadata is None:
        return [[Vehicle(None, Fields(source=_source(file)))] for file in form.images]
    try:
        metadata = METADATA.validate_python(parse_json(form.metadata))
    except JsonError as error:
        raise FieldsError(f"metadata: {error}") from None
    except ValidationError as error:
        # As if FastAPI had read the JSON itself.
        errors = [{**entry, "loc": ("body", "metadata", *entry["loc"])} for entry in error.errors(include_url=False)]
        raise RequestValidationError(errors) from None
    if len(metadata) != len(form.images):
        raise FieldsError(
            f"metadata has {len(metadata)} objects for {len(form.images)} files: give one per file, in their order"
        )
    # A file's name that cannot be kept does no harm where another source is given.
    return [
        image.vehicles(_source(file) if image.source is None else None)
        for image, file in zip(metadata, form.images, strict=True)
    ]


def _source(file: UploadFile) -> str | None:
    """The name that the client gave a file, if it gave one."""
    try:
        return read_source(file.filename) if file.filename else None
    except FieldsError as error:
        raise FieldsError(f"the name of a file cannot be kept as its source: {error}") from None


async def _embed_file(
    engine: Engine, admission: Admission, upload: UploadFile, vehicles: list[Vehicle]
) -> list[_Outcome]:
    upload.file.seek(0)  # it is read again where another model took over meanwhile
    start = time.perf_counter()
    intake = await engine.pools.decode_enrol.run(take_in_file, engine, admission, upload.file, vehicles)
    decoded = time.perf_counter()
    outcomes = [await _embed_vehicle(engine, upload.filename or "", intake, vehicle) for vehicle in intake.vehicles]
    engine.instruments.observe_stage("enrolment", "decode", decoded - start, decoded)
    engine.instruments.observe_stage("enrolment", "embed", time.perf_counter() - decoded)
    return outcomes


async def _embed_vehicle(engine: Engine, filename: str, intake: Intake, vehicle: Crop | Rejected) -> _Outcome:
    if isinstance(vehicle, Rejected):
        rejected = EnrolmentResult(filename=filename, status="rejected", box=vehicle.box, detail=vehicle.detail)
        return rejected, None
    located = vehicle.located
    result = EnrolmentResult(
        filename=filename, status="enrolled", id=located.id, box=str(located.box), warnings=list(located.warnings)
    )
    if isinstance(vehicle.source, Record):
        # A duplicate: the gallery says so again, and mends the image if its file is missing or damaged.
        return result, Enrolment(replace(vehicle.source, fields=located.fields), intake.read)
    try:
        embedded = await asyncio.wrap_future(vehicle.source)
    except EmbeddingError as error:  # of this image alone; the others go on
        detail = f"the network could not embed it: {error}"
        return result.model_copy(update={"status": "rejected", "id": None, "detail": detail}), None
    record = Record(
        id=located.id,
        content=intake.content,
        media_type=intake.media_type,
        box=located.box,
        whole_image=located.whole_image,
        fields=located.fields,
        embedding=embedded.embedding,
        theta=embedded.theta,
        model=engine.model,
        enrolled_at=datetime.now(UTC),
    )
    return result, Enrolment(record, intake.read)


def _with_enrolled(result: EnrolmentResult, enrolled: Enrolled) -> EnrolmentResult:
    """The result with what the gallery had to say of it."""
    if not enrolled.duplicate and not enrolled.differing:
        return result
    status = "duplicate" if enrolled.duplicate else "enrolled"
    detail = "already enrolled" if enrolled.duplicate else "embedded anew, it was of another model"
    if enrolled.differing:
        detail += f"; its own {', '.join(enrolled.differing)} stayed as they were"
    return result.model_copy(update={"status": status, "detail": detail})


def _answer(results: list[EnrolmentResult], warnings: list[str]) -> JSONResponse:
    num = Counter(result.status for result in results)
    num_warned = sum(bool(result.warnings) for result in results)
    if num_warned:
        first = next(result for result in results if result.warnings)
        warnings = [
            *warnings,
            f"{num_warned} of {len(results)} vehicles have warnings in their results, the first is {first.filename}: "
            f"{first.warnings[0]}",
        ]
    answer = GalleryAnswer(
        results=results,
        enrolled=num["enrolled"],
        duplicates=num["duplicate"],
        rejected=num["rejected"],
        warnings=warnings,
    )
    body = answer.model_dump(mode="json")
    if results and num["rejected"] == len(results):
        return problem(422, "Every vehicle rejected", f"{results[0].filename}: {results[0].detail}", **body)
    return JSONResponse(body, 201 if num["enrolled"] else 200)
