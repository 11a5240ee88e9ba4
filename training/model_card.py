"""A checkpoint's model card, for people: what it is, where it comes from, and what was measured of it."""

from typing import Any

from index.calibration.calibration import Calibration
from model.checkpoint import ModelCard
from model.config import SANetConfig, architecture_of


def model_card(
    name: str, size_bytes: int, card: ModelCard, evaluation: dict[str, Any], calibration: Calibration
) -> str:
    """The card as Markdown.

    Args:
        name: of the checkpoint's file.
        size_bytes: of it.
        card: its header.
        evaluation: what `training.evaluate --annotate` writes, perhaps with ``alignment``.
        calibration: whose error figures are shown.
    """
    rows = [
        ("file", f"`{name}`, {size_bytes / 1e6:.1f} MB, model `{card.fingerprint}`"),
        ("network", _network(card)),
        ("trained on", str(card.training.get("data") or "nothing")),
        *_annotation_rows(card.training.get("annotations")),
        *_evaluation_rows(evaluation),
        *_alignment_rows(evaluation.get("alignment")),
        ("calibrated on", _fitted_on(calibration)),
    ]
    lines = [f"# {name}", "", "| | |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in rows), ""]
    return "\n".join([*lines, *_calibration_table(calibration), ""])


def _network(card: ModelCard) -> str:
    config = card.config
    kind = f"SANet, M = {config.num_parts}" if isinstance(config, SANetConfig) else architecture_of(config)
    size = card.preprocessing.size_px
    return f"{kind}, {config.backbone}, {size} × {size} pixels"


def _annotation_rows(annotations: dict[str, list[str]] | None) -> list[tuple[str, str]]:
    """Of a method that learns from more than identities, what it had to learn from and what it did without."""
    if annotations is None:
        return []
    used, missing = (", ".join(annotations[name]) or "none" for name in ("used", "missing"))
    return [("learned from annotations", f"{used}; the data lacks: {missing}")]


def _evaluation_rows(evaluation: dict[str, Any]) -> list[tuple[str, str]]:
    cmc = ", ".join(f"CMC-{rank} {share:.1%}" for rank, share in evaluation["cmc"].items())
    low, high = evaluation["intervals"]["cmc1"]
    data = f"{evaluation['dataset'] or 'evaluation'}, {evaluation['split'] or 'all'}"
    asked = f"{evaluation['num_queries']:,} queries, {evaluation['num_gallery']:,} gallery images"
    return [(f"{data}: {asked}", f"{cmc} (CMC-1 95 %: {low:.1%} to {high:.1%}), mAP {evaluation['map']:.1%}")]


def _alignment_rows(alignment: dict[str, Any] | None) -> list[tuple[str, str]]:
    if alignment is None:
        return []
    after = alignment["after"]
    parts = [f"median residual {after[period]['median_deg']:.1f}° {words}" for period, words in _PERIODS]
    return [("alignment there", ", ".join(parts))]


_PERIODS = (("modulo_180", "modulo 180"), ("modulo_360", "modulo 360"))


def _fitted_on(calibration: Calibration) -> str:
    fitted_on = calibration.fitted_on
    return f"{fitted_on['data']}: {fitted_on['num_vehicles']:,} vehicles, {fitted_on['num_images']:,} images"


def _calibration_table(calibration: Calibration) -> list[str]:
    lines = [
        "| gallery | calibration error | decision | unknown accepted (promised) | known found right |",
        "| ---: | ---: | --- | ---: | ---: |",
    ]
    for size in calibration.measured["sizes"]:
        for name, figures in size["decisions"].items():
            false, true = figures["false_accepts"], figures["true_accepts"]
            low, high = false["interval"]
            right = "-" if true is None else f"{true['share']:.1%}"
            lines.append(
                f"| {size['num_records']:,} | {size['ece']:.1%} | {name.replace('_', ' ')} | {false['share']:.2%}, "
                f"{low:.2%} to {high:.2%} ({figures['promised']:.1%}) | {right} |"
            )
    return lines
