"""``POST /query``: a crop in, the gallery's nearest vehicles and the aligned view out."""

import asyncio
import base64
import time
from itertools import pairwise
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Request
from numpy.typing import NDArray

from index.gallery.answers import SearchResult
from index.gallery.refined_search import refined_search
from model.embedder import EmbeddingError
from model.image import ImageError, encode_image
from model.theta import turn_of
from service.answers import MatchAnswer, QueryAnswer, QueryImage, Timing
from service.disconnect import while_connected
from service.engine import Engine, engine_of
from service.forms import QueryForm
from service.intake import take_in_query
from service.multipart import read_form
from service.openapi import form_body
from service.strict_fields import strict_query_string
from service.worker import Admission

router = APIRouter(tags=["query"], dependencies=[Depends(strict_query_string)])


@router.post("/query", openapi_extra=form_body(QueryForm))
async def query(request: Request, engine: Annotated[Engine, Depends(engine_of)]) -> QueryAnswer:
    """Finds the vehicles of the gallery that look most like the one in the image, the nearest first."""
    # Its place is taken before its body is read: a query that must be refused is refused at once.
    with engine.worker.admit(1, urgent=True) as admission:
        async with read_form(request, QueryForm) as form:
            return await _answer(request, form, engine, admission)


async def _answer(request: Request, form: QueryForm, engine: Engine, admission: Admission) -> QueryAnswer:
    pools = engine.pools
    times = [time.perf_counter()]
    async with while_connected(request):
        image, warnings = await pools.decode_query.run(take_in_query, engine, form.image.file, form.box)
        times.append(time.perf_counter())
        try:
            embedded = await asyncio.wrap_future(admission.submit(image))
        except EmbeddingError as error:
            raise ImageError(f"the network could not embed the image: {error}") from error
        times.append(time.perf_counter())
        # The picture is drawn while the gallery searches.
        view = asyncio.ensure_future(pools.decode_query.run(_view, engine, image, embedded.theta))
        result = await pools.search.run(_search, engine, embedded.embedding, form)
        times.append(time.perf_counter())
        aligned_view = await view
    turn = turn_of(embedded.theta)
    seen = QueryImage(
        theta=embedded.theta.tolist(),
        rotation_deg=turn.rotation_deg,
        mirrored=turn.mirrored,
        aligned_view=aligned_view,
        model=engine.card.fingerprint,
    )
    decode_ms, embed_ms, search_ms = (1000 * (end - start) for start, end in pairwise(times))
    return QueryAnswer(
        query=seen,
        decision="uncalibrated",
        matches=[MatchAnswer.of(rank, match) for rank, match in enumerate(result.matches, start=1)],
        searched=result.searched,
        timing_ms=Timing(
            decode=decode_ms, embed=embed_ms, search=search_ms, total=1000 * (time.perf_counter() - times[0])
        ),
        warnings=[*engine.warnings(), *warnings, *engine.refinement_warnings(form.to_refinement())],
    )


def _search(engine: Engine, embedding: NDArray[np.float32], form: QueryForm) -> SearchResult:
    refinement = form.to_refinement()
    if refinement is None:
        return engine.gallery.search(embedding, form.top_k, form.to_filter(), form.group_by)
    return refined_search(engine.gallery, embedding, form.top_k, form.to_filter(), refinement)


def _view(engine: Engine, prepared: NDArray[np.uint8], theta: NDArray[np.float32]) -> str:
    jpeg = encode_image(engine.aligned_view(prepared, theta), "JPEG")
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
