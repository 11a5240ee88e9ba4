"""``POST /query``: a crop, a frame with boxes or a record in, the gallery's nearest vehicles and aligned views out."""

import asyncio
import base64
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import islice
from typing import Annotated, NamedTuple

import numpy as np
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from numpy.typing import NDArray

from index.gallery.filters import Filter
from index.gallery.refined_search import refined_search
from model.box import Box, BoxError
from model.embeddings import EmbeddingError
from model.image import ImageError, encode_image
from model.theta import turn_of
from service.access.call import note
from service.answers import (
    BoxesAnswer,
    BoxMatches,
    BoxProblem,
    MatchAnswer,
    QueryAnswer,
    QueryImage,
    Timing,
    VehicleMatches,
)
from service.decision import Judgement
from service.disconnect import while_connected
from service.engine import Engine, engine_of, lease_of
from service.forms import QueryForm
from service.instruments.instruments import STAGES
from service.intake import PreparedQuery, take_in_query, take_in_record
from service.multipart import read_form
from service.openapi import form_body
from service.problems import problem
from service.strict_fields import strict_query_string
from service.worker import Admission, Embedded

router = APIRouter(tags=["query"], dependencies=[Depends(strict_query_string)])


class _Vehicle(NamedTuple):
    """A vehicle that is searched for, and its image as the network sees it; None if the image of a record is lost."""

    embedded: Embedded
    image: NDArray[np.uint8] | None
    warnings: Sequence[str]


@router.post("/query", response_model=QueryAnswer | BoxesAnswer, openapi_extra=form_body(QueryForm))
async def query(
    request: Request, engine: Annotated[Engine, Depends(engine_of)]
) -> QueryAnswer | BoxesAnswer | JSONResponse:
    """Finds the vehicles of the gallery that look most like the one in the image, the nearest first.

    With several boxes there is an answer for each of them.
    """
    # Its place is taken before its body is read: a query that must be refused is refused at once.
    with engine.worker.admit(1, urgent=True) as admission:
        async with read_form(request, QueryForm) as form:
            note(request.scope, **{name: getattr(form, name) for name in form.model_fields_set - {"image"}})
            serving = lease_of(request).renew()  # what served when a slow body began may be closed by now
            with _room(serving, form, admission if serving is engine else None) as admitted:
                async with while_connected(request):
                    if form.record is not None:
                        return await _answer_record(form.record, form, serving)
                    if len(form.box) < 2:
                        return await _answer_image(form, serving, admitted)
                    return await _answer_boxes(form, serving, admitted)


def _room(engine: Engine, form: QueryForm, admission: Admission | None) -> AbstractContextManager[Admission]:
    """Room for all vehicles of a query; more than all queries together may have count as an enrolment.

    Args:
        engine: what is to answer.
        form: the query.
        admission: for one vehicle, if this engine has admitted it already.

    Raises:
        QueueFullError: there is not enough room now.
    """
    if len(form.box) < 2:
        return engine.worker.admit(1, urgent=True) if admission is None else nullcontext(admission)
    return engine.worker.admit(len(form.box), urgent=len(form.box) < engine.worker.max_queries)


async def _answer_image(form: QueryForm, engine: Engine, admission: Admission) -> QueryAnswer:
    times = [time.perf_counter()]
    (prepared,) = await _decode(form, engine, [form.single_box])
    if isinstance(prepared, BoxError):
        raise prepared
    times.append(time.perf_counter())
    (vehicle,) = await _embed([prepared], admission)
    if isinstance(vehicle, BoxError | ImageError):
        raise vehicle
    times.append(time.perf_counter())
    (found,) = await _search([vehicle], form, form.to_filter(), engine)
    return _single(found, times, engine)


async def _answer_record(id_: str, form: QueryForm, engine: Engine) -> QueryAnswer:
    times = [time.perf_counter()]
    record, image, warnings = await engine.pools.decode_query.run(take_in_record, engine, id_)
    # The record's own embedding is used: nothing waits for the network.
    times += [time.perf_counter()] * 2
    vehicle = _Vehicle(Embedded(record.embedding, record.theta), image, warnings)
    (found,) = await _search([vehicle], form, replace(form.to_filter(), other_than=record.id), engine)
    return _single(found, times, engine)


async def _answer_boxes(form: QueryForm, engine: Engine, admission: Admission) -> BoxesAnswer | JSONResponse:
    """One answer for each box in their order; one that cannot be used is an error in its place, and costs no other."""
    times = [time.perf_counter()]
    prepared = await _decode(form, engine, form.box)
    times.append(time.perf_counter())
    vehicles = await _embed(prepared, admission)
    times.append(time.perf_counter())
    usable = [vehicle for vehicle in vehicles if isinstance(vehicle, _Vehicle)]
    found = iter(await _search(usable, form, form.to_filter(), engine) if usable else [])
    answers = [
        BoxMatches(box=text, **dict(next(found)))
        if isinstance(vehicle, _Vehicle)
        else BoxProblem(box=text[:100], error=str(vehicle))
        for text, vehicle in zip(form.box, vehicles, strict=True)
    ]
    if not usable:
        errors = [answer.model_dump() for answer in answers]
        return problem(
            422, "Unusable box", f"none of the {len(answers)} boxes can be used: {vehicles[0]}", answers=errors
        )
    return BoxesAnswer(answers=answers, timing_ms=_timing(times, engine), warnings=engine.warnings())


async def _decode(form: QueryForm, engine: Engine, boxes: Sequence[Box | str | None]) -> list[PreparedQuery | BoxError]:
    if form.image is None:
        raise ValueError("a query without a record has an image")
    return await engine.pools.decode_query.run(take_in_query, engine, form.image.file, boxes)


async def _embed(
    prepared: Sequence[PreparedQuery | BoxError], admission: Admission
) -> list[_Vehicle | BoxError | ImageError]:
    """All vehicles, in the same batches where they fit; or why one has no embedding."""
    # All are in the queue before the first is waited for.
    submissions = [one if isinstance(one, BoxError) else (one, admission.submit(one.image)) for one in prepared]
    vehicles: list[_Vehicle | BoxError | ImageError] = []
    for submitted in submissions:
        if isinstance(submitted, BoxError):
            vehicles.append(submitted)
            continue
        one, future = submitted
        try:
            embedded = await asyncio.wrap_future(future)
        except EmbeddingError as error:
            vehicles.append(ImageError(f"the network could not embed the image: {error}"))
        else:
            vehicles.append(_Vehicle(embedded, one.image, one.warnings))
    return vehicles


async def _search(vehicles: Sequence[_Vehicle], form: QueryForm, where: Filter, engine: Engine) -> list[VehicleMatches]:
    """The matches of each vehicle: all are searched for in one pass, and their pictures drawn meanwhile."""
    pools = engine.pools
    views = asyncio.gather(*(pools.decode_query.run(_view, engine, vehicle) for vehicle in vehicles))
    embeddings = np.stack([vehicle.embedded.embedding for vehicle in vehicles])
    try:
        found = await pools.search.run(_found, engine, embeddings, form, where)
    except RuntimeError as error:  # a GPU searches as well
        engine.worker.raise_if_broken(error)
        raise
    return [
        VehicleMatches(
            query=_seen(vehicle, view, engine),
            decision=judgement.decision,
            matches=matches,
            searched=searched,
            warnings=[
                *engine.warnings(),
                *engine.decisions.warnings(searched),
                *vehicle.warnings,
                *engine.refinement_warnings(form.to_refinement()),
            ],
        )
        for vehicle, view, (matches, searched, judgement) in zip(vehicles, await views, found, strict=True)
    ]


class _Found(NamedTuple):
    """The matches of a vehicle, without the embeddings of their records, and what they mean."""

    matches: list[MatchAnswer]
    searched: int
    judgement: Judgement


def _found(engine: Engine, embeddings: NDArray[np.float32], form: QueryForm, where: Filter) -> list[_Found]:
    refinement = form.to_refinement()
    if refinement is None:
        num_needed = engine.decisions.num_needed(form.top_k)
        results = engine.gallery.search_many(embeddings, num_needed, where, form.group_by)
    else:
        results = refined_search(engine.gallery, embeddings, form.top_k, where, refinement)
    found = []
    for result in results:
        judgement = engine.decisions.judge(result)
        engine.instruments.count_decision(judgement.decision)
        judged = islice(zip(result.matches, judgement.probabilities, strict=True), form.top_k)
        ranked = enumerate(judged, start=1)
        matches = [MatchAnswer.of(rank, match, probability) for rank, (match, probability) in ranked]
        found.append(_Found(matches, result.searched, judgement))
    return found


def _seen(vehicle: _Vehicle, view: str | None, engine: Engine) -> QueryImage:
    theta = vehicle.embedded.theta
    turn = turn_of(theta)
    return QueryImage(
        theta=theta.tolist(),
        rotation_deg=turn.rotation_deg,
        mirrored=turn.mirrored,
        aligned_view=view,
        model=engine.card.fingerprint,
    )


def _view(engine: Engine, vehicle: _Vehicle) -> str | None:
    if vehicle.image is None:
        return None
    jpeg = encode_image(engine.aligned_view(vehicle.image, vehicle.embedded.theta), "JPEG")
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _single(found: VehicleMatches, times: Sequence[float], engine: Engine) -> QueryAnswer:
    return QueryAnswer(**dict(found), timing_ms=_timing(times, engine))


def _timing(times: Sequence[float], engine: Engine) -> Timing:
    """From when decoding, embedding and searching began, in seconds; counts the stages as well."""
    now = time.perf_counter()
    ends = [*times[1:], now]
    seconds = [end - start for start, end in zip(times, ends, strict=True)]
    for stage, stage_s, end in zip(STAGES["query"], seconds, ends, strict=True):
        if stage_s:  # a record is not embedded
            engine.instruments.observe_stage("query", stage, stage_s, end)
    decode_ms, embed_ms, search_ms = (1000 * stage_s for stage_s in seconds)
    return Timing(decode=decode_ms, embed=embed_ms, search=search_ms, total=1000 * (now - times[0]))
