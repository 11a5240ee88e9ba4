"""CMC curves, ROC curves and distance histograms: one line per method."""

from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from index.ranking.evaluation import Evaluation
from training.figures.method import Method
from training.figures.style import COLOURS, LINE_STYLES, WIDTH_INCHES


def draw_cmc(results: Sequence[tuple[str, Evaluation]], max_rank: int = 20) -> Figure:
    """CMC in percent over the rank; rank-1 stands in the legend."""
    figure, axes = plt.subplots(figsize=(WIDTH_INCHES * 0.7, WIDTH_INCHES * 0.5))
    ranks = range(1, max_rank + 1)
    for number, (label, result) in enumerate(results):
        axes.plot(
            ranks,
            [100 * result.cmc(rank) for rank in ranks],
            color=COLOURS[number % len(COLOURS)],
            linestyle=LINE_STYLES[number % len(LINE_STYLES)],
            marker="o",
            markersize=3,
            label=f"{label} (rank-1 {result.cmc(1):.1%})",
        )
    axes.set(xlabel="rank", ylabel="CMC in %", xlim=(0.5, max_rank + 0.5))
    axes.set_xticks([1, *range(5, max_rank + 1, 5)])
    axes.legend(loc="lower right")
    return figure


def draw_roc(methods: Sequence[Method]) -> Figure:
    """How many true pairs are accepted (TAR) at how many false ones (FAR, logarithmic)."""
    figure, axes = plt.subplots(figsize=(WIDTH_INCHES * 0.7, WIDTH_INCHES * 0.5))
    lowest = 1.0
    for number, method in enumerate(methods):
        same, distances = method.same[method.counts], method.distances[method.counts]
        far, tar, _ = roc_curve(same, -distances)
        lowest = min(lowest, 1 / max(int((~same).sum()), 1))
        axes.semilogx(
            np.maximum(far, lowest),
            tar,
            color=COLOURS[number % len(COLOURS)],
            linestyle=LINE_STYLES[number % len(LINE_STYLES)],
            label=f"{method.label} (TAR {np.interp(0.01, far, tar):.1%} at FAR 1 %)",
        )
    axes.set(xlabel="false accept rate", ylabel="true accept rate", xlim=(lowest, 1), ylim=(0, 1.02))
    axes.legend(loc="lower right")
    return figure


def draw_distances(methods: Sequence[Method], num_bins: int = 60) -> Figure:
    """How far true and false pairs lie apart; the less the two overlap, the better."""
    figure, row = plt.subplots(1, len(methods), figsize=(WIDTH_INCHES, WIDTH_INCHES * 0.35), squeeze=False)
    for axes, method in zip(row[0], methods, strict=True):
        positive = method.distances[method.same & method.counts]
        negative = method.distances[~method.same]
        bins = np.linspace(0, float(method.distances.max()), num_bins + 1)
        axes.hist(positive, bins.tolist(), density=True, alpha=0.6, color=COLOURS[2], label="same vehicle")
        axes.hist(negative, bins.tolist(), density=True, histtype="step", color=COLOURS[1], label="other vehicle")
        axes.set(title=method.label, xlabel="Euclidean distance", yticks=[])
        axes.legend()
    row[0][0].set_ylabel("density")
    figure.tight_layout()
    return figure
