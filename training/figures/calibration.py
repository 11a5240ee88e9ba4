"""How well a calibration keeps its promises: the reliability diagram, and known vehicles found at false accepts."""

from typing import Any

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from index.calibration.calibration import MATCH_FAR, UNCERTAIN_FAR
from training.figures.style import COLOURS, LINE_STYLES, WIDTH_INCHES


def draw_calibration(measured: dict[str, Any]) -> Figure:
    """Left, how often rank 1 is right where a probability is said; right, the open-set ROC; a line per gallery size.

    Args:
        measured: `Calibration.measured`.
    """
    figure, (reliability, roc) = plt.subplots(1, 2, figsize=(WIDTH_INCHES, WIDTH_INCHES * 0.45))
    reliability.plot([0, 1], [0, 1], color="black", linewidth=0.8)
    for number, size in enumerate(measured["sizes"]):
        style = {
            "color": COLOURS[number % len(COLOURS)],
            "linestyle": LINE_STYLES[number % len(LINE_STYLES)],
            "marker": "o",
            "markersize": 3,
        }
        bins = size["reliability"]
        reliability.plot(
            [one["probability"] for one in bins],
            [one["right"] for one in bins],
            label=f"{size['num_records']:,} records (error {size['ece']:.1%})",
            **style,
        )
        if size["roc"]:
            roc.semilogx(
                [one["false_accepts"] for one in size["roc"]], [one["true_accepts"] for one in size["roc"]], **style
            )
    for rate in (MATCH_FAR, UNCERTAIN_FAR):
        roc.axvline(rate, color="black", linewidth=0.8, linestyle=":")
    reliability.set(xlabel="probability of rank 1", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1.02))
    reliability.legend(loc="upper left", fontsize=7)
    roc.set(xlabel="unknown vehicles accepted", ylabel="known vehicles found right", ylim=(0, 1.02))
    figure.tight_layout()
    return figure
