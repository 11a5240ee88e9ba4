"""``POST /query``: a crop in, the gallery's nearest vehicles and the aligned view out."""

import asyncio
import base64
import time
from functools import partial
from itertools import pairwise
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Form, Request
from numpy.typing import NDArray

from index.gallery import SearchResult
from index.refined_search import refined_search
from model.image import encode_image
from model.theta import turn_of
from service.answers import MatchAnswer, QueryAnswer, QueryImage, Timing
from service.disconnect import while_connected
from service.engine import Engine, engine_of
from service.forms import QueryForm
from service.intake import take_in_query
from service.strict_form import strict_form

router = APIRouter(tags=["query"])


@router.post("/query", dependencies=[Depends(strict_form(QueryForm))])
async def query(
    request: Request,
    form: Annotated[QueryForm, Form(media_type="multipart/form-data")],
    engine: Annotated[Engine, Depends(engine_of)],
) -> QueryAnswer:
    """Finds the vehicles of the gallery that look most like the one in the image, the nearest first."""
    loop = asyncio.get_running_loop()
    times = [time.perf_counter()]
    with engine.worker.admit(1, urgent=True) as admission:
        async with while_connected(request):
            take_in = partial(take_in_query, engine, form.image.file, form.box)
            prepared = await loop.run_in_executor(engine.pools.decode_query, take_in)
            times.append(time.perf_counter())
            embedded = await asyncio.wrap_future(admission.submit(prepared))
            times.append(time.perf_counter())
            # The picture is drawn while the gallery searches.
            view = loop.run_in_executor(engine.pools.decode_query, _view, engine, prepared, embedded.theta)
            result = await loop.run_in_executor(engine.pools.search, _search, engine, embedded.embedding, form)
            times.append(time.perf_counter())
            aligned_view = await view
    turn = turn_of(embedded.theta)
    image = QueryImage(
        theta=embedded.theta.tolist(),
        rotation_deg=turn.rotation_deg,
        mirrored=turn.mirrored,
        aligned_view=aligned_view,
        model=engine.card.fingerprint,
    )
    decode_ms, embed_ms, search_ms = (1000 * (end - start) for start, end in pairwise(times))
    return QueryAnswer(
        query=image,
        decision="uncalibrated",
        matches=[MatchAnswer.of(rank, match) for rank, match in enumerate(result.matches, start=1)],
        searched=result.searched,
        timing_ms=Timing(
            decode=decode_ms, embed=embed_ms, search=search_ms, total=1000 * (time.perf_counter() - times[0])
        ),
        warnings=engine.warnings(),
    )


def _search(engine: Engine, embedding: NDArray[np.float32], form: QueryForm) -> SearchResult:
    refinement = form.to_refinement()
    if refinement is None:
        return engine.gallery.search(embedding, form.top_k, form.to_filter(), form.group_by)
    return refined_search(engine.gallery, embedding, form.top_k, form.to_filter(), refinement)


def _view(engine: Engine, prepared: NDArray[np.uint8], theta: NDArray[np.float32]) -> str:
    jpeg = encode_image(engine.aligned_view(prepared, theta), "JPEG")
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
