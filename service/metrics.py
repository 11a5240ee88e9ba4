"""``GET /metrics``: how good the service is and what it is at, for Prometheus and for people."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client.exposition import choose_encoder

from service.answers import MetricsAnswer
from service.engine import Engine, engine_of
from service.instruments.scrape import Scrape
from service.serving import LEASE, Lease
from service.strict_fields import strict_query_string

router = APIRouter(tags=["status"], dependencies=[Depends(strict_query_string)])

_JSON = "application/json"


@router.get(
    "/metrics",
    response_model=MetricsAnswer,
    responses={200: {"content": {"text/plain": {}, "application/openmetrics-text": {}}}},
)
async def metrics(request: Request, accept: Annotated[str, Header()] = "") -> Response:
    """What the service is at, and the last evaluation on the held-out set; nothing is computed here.

    JSON with the evaluation and its whole CMC curve where `Accept` asks for it, else the text that Prometheus scrapes,
    also while the service is loading. Before the first evaluation its figures are absent.
    """
    headers = {"Vary": "Accept"}
    if _prefers_json(accept):
        return JSONResponse(_evaluation(await engine_of(request)), headers=headers)
    lease: Lease | None = request.scope.get(LEASE)
    engine = None if lease is None else lease.engine
    state = request.app.state
    scrape = Scrape(state.instruments, state.disk_usage, engine, is_stopping=state.is_stopping())
    # With an engine there are jobs to read from the disk; without one all is in memory.
    text, content_type = (
        _text(scrape, accept) if engine is None else await engine.pools.scrape.run(_text, scrape, accept)
    )
    return Response(text, headers=headers, media_type=content_type)


def _evaluation(engine: Engine) -> dict[str, Any]:
    status, calibration = engine.heldout.status, engine.decisions.to_dict()
    return {
        "heldout": {
            "state": status.state,
            "num_done": status.num_done,
            "num_total": status.num_total,
            "error": status.error,
        },
        **({} if calibration is None else {"calibration": calibration}),
        **(status.result or {}),
    }


def _text(scrape: Scrape, accept: str) -> tuple[bytes, str]:
    """A scrape in the form that a client asks for, and the content type of that."""
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is none
        encode, content_type = choose_encoder("")
    return encode(scrape.registry), content_type


def _prefers_json(accept: str) -> bool:
    """Whether a client that names its types wants JSON at least as much as text; one that names none gets text."""
    wanted = {"json": 0.0, "text": 0.0}
    for choice in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in choice.split(";"))
        quality = next((part.removeprefix("q=") for part in parameters if part.startswith("q=")), "1")
        if media_type == _JSON or media_type.startswith(("text/", "application/openmetrics")):
            kind = "json" if media_type == _JSON else "text"
            wanted[kind] = max(wanted[kind], _quality(quality))
    return wanted["json"] > 0 and wanted["json"] >= wanted["text"]


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
