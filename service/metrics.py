"""``GET /metrics``: how good the service is, for Prometheus and for people."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Response
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from service.answers import MetricsAnswer
from service.engine import Engine, engine_of
from service.strict_fields import strict_query_string

router = APIRouter(tags=["status"], dependencies=[Depends(strict_query_string)])

_JSON = "application/json"


@router.get(
    "/metrics",
    response_model=MetricsAnswer,
    responses={200: {"content": {"text/plain": {}, "application/openmetrics-text": {}}}},
)
async def metrics(engine: Annotated[Engine, Depends(engine_of)], accept: Annotated[str, Header()] = "") -> Response:
    """The last evaluation on the held-out set; nothing is computed here.

    JSON with the whole CMC curve where `Accept` asks for it, else the text that Prometheus scrapes. Before the first
    evaluation its figures are absent.
    """
    headers = {"Vary": "Accept"}
    if _prefers_json(accept):
        status = engine.heldout.status
        body = {
            "heldout": {
                "state": status.state,
                "num_done": status.num_done,
                "num_total": status.num_total,
                "error": status.error,
            },
            **(status.result or {}),
        }
        return JSONResponse(body, headers=headers)
    registry = CollectorRegistry()
    registry.register(_Evaluation(engine))
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is none
        encode, content_type = choose_encoder("")
    return Response(encode(registry), headers=headers, media_type=content_type)


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


class _Evaluation(Collector):
    """What an engine knows, as series: proportions are ratios in 0..1, times are seconds since 1970."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        card, status = self._engine.card, self._engine.heldout.status
        trained = "true" if card.trained else "false"
        model = {"fingerprint": card.fingerprint, "precision": self._engine.model.precision, "trained": trained}
        yield InfoMetricFamily("sanet_model", "The model that embeds", model)
        yield _gauge("sanet_evaluation_images", "Images of the held-out set", status.num_total)
        yield _gauge("sanet_evaluation_embedded_images", "Images of the held-out set embedded so far", status.num_done)
        yield _gauge("sanet_evaluation_failed", "1 if the evaluation failed, else 0", status.state == "failed")
        if status.result is not None:
            yield from _figures(status.result)


def _figures(result: dict[str, Any]) -> Iterator[Metric]:
    cmc = GaugeMetricFamily("sanet_cmc_ratio", "Share of queries with a true match up to this rank", labels=["rank"])
    for rank, ratio in result["cmc"].items():
        cmc.add_metric([rank], ratio)
    yield cmc
    yield _gauge("sanet_map_ratio", "Mean average precision", result["map"])
    yield _gauge("sanet_minp_ratio", "Mean inverse negative penalty", result["minp"])
    yield _gauge("sanet_evaluation_queries", "Queries that were scored", result["num_queries"])
    yield _gauge("sanet_evaluation_gallery_images", "Images they were looked for in", result["num_gallery"])
    evaluated_at = datetime.fromisoformat(result["evaluated_at"]).timestamp()
    yield _gauge("sanet_evaluation_timestamp_seconds", "When the evaluation ended", evaluated_at)
    names = ("dataset", "dataset_fingerprint", "model", "precision", "device", "camera_rule")
    yield InfoMetricFamily(
        "sanet_evaluation", "What was evaluated on what", {name: str(result[name]) for name in names}
    )


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value)
