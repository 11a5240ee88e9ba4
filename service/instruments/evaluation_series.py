"""How good the model is, as series: proportions are ratios in 0..1, times are seconds since 1970."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric

from service.engine import Engine
from service.instruments.families import gauge, gauges
from service.next_model import next_model


def evaluation_series(engine: Engine) -> Iterator[Metric]:
    """The model that embeds and the next one, and the last evaluation; its figures are absent before the first."""
    card, status = engine.card, engine.heldout.status
    trained = "true" if card.trained else "false"
    model = {"fingerprint": card.fingerprint, "precision": engine.model.precision, "trained": trained}
    yield InfoMetricFamily("sanet_model", "The model that embeds", model)
    following = next_model(engine)
    if following is not None:
        labels = {"fingerprint": following.fingerprint, "precision": following.precision}
        yield InfoMetricFamily("sanet_next_model", "The model that the records are embedded anew for", labels)
        yield gauge("sanet_reembedding_records", "Records to embed anew", following.total or 0)
        yield gauge("sanet_reembedding_done_records", "Records embedded anew so far", following.done)
    yield gauge("sanet_evaluation_images", "Images of the held-out set", status.num_total)
    yield gauge("sanet_evaluation_embedded_images", "Images of the held-out set embedded so far", status.num_done)
    yield gauge("sanet_evaluation_failed", "1 if the evaluation failed, else 0", status.state == "failed")
    if status.result is not None:
        yield from _figures(status.result)


def _figures(result: dict[str, Any]) -> Iterator[Metric]:
    yield gauges("sanet_cmc_ratio", "Share of queries with a true match up to this rank", "rank", result["cmc"])
    yield gauge("sanet_map_ratio", "Mean average precision", result["map"])
    yield gauge("sanet_minp_ratio", "Mean inverse negative penalty", result["minp"])
    yield from _intervals(result["intervals"])
    yield gauge("sanet_evaluation_queries", "Queries that were scored", result["num_queries"])
    yield gauge("sanet_evaluation_gallery_images", "Images they were looked for in", result["num_gallery"])
    evaluated_at = datetime.fromisoformat(result["evaluated_at"]).timestamp()
    yield gauge("sanet_evaluation_timestamp_seconds", "When the evaluation ended", evaluated_at)
    names = ("dataset", "dataset_fingerprint", "model", "precision", "device", "camera_rule")
    yield InfoMetricFamily(
        "sanet_evaluation", "What was evaluated on what", {name: str(result[name]) for name in names}
    )


def _intervals(intervals: dict[str, tuple[float, float]]) -> Iterator[Metric]:
    cmc = GaugeMetricFamily(
        "sanet_cmc_interval_ratio", "Ends of the 95 % interval of sanet_cmc_ratio", labels=["rank", "bound"]
    )
    for bound, value in zip(("lower", "upper"), intervals["cmc1"], strict=True):
        cmc.add_metric(["1", bound], value)
    yield cmc
    ends = dict(zip(("lower", "upper"), intervals["map"], strict=True))
    yield gauges("sanet_map_interval_ratio", "Ends of the 95 % interval of sanet_map_ratio", "bound", ends)
