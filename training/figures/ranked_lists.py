"""Ranked lists: a query and the first images of its ranking, one row per method."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from index.datasets.bulk_embedding import read_entry
from index.datasets.manifest import Entry
from training.figures.method import Method
from training.figures.style import WIDTH_INCHES

_QUERY, _TRUE, _FALSE = "#1f4fd8", "#1a9a32", "#d11a1a"
# Some readers do not tell red from green: what is wrong is dashed as well.
_FRAMES: Final[dict[str, Any]] = {_QUERY: "-", _TRUE: "-", _FALSE: (0, (3, 1.5))}


def draw_ranked_lists(methods: Sequence[Method], queries: Sequence[int], top_k: int = 10) -> Figure:
    """For each query (positions in the task) a row of each method, in the methods' order; the baseline comes first."""
    num_rows = len(queries) * len(methods)
    figure, grid = plt.subplots(
        num_rows, top_k + 1, figsize=(WIDTH_INCHES, 0.82 * num_rows + 0.5), squeeze=False, layout="constrained"
    )
    for number, query in enumerate(queries):
        for offset, method in enumerate(methods):
            row = grid[number * len(methods) + offset]
            task = method.task
            _show(row[0], _pixels(method, task.queries[query]), _QUERY, method.label)
            ranking = np.argsort(np.where(method.counts[query], method.distances[query], np.inf), kind="stable")
            ranking = ranking[: method.counts[query].sum()]  # what the camera rule leaves out has no rank
            for axes, place in zip(row[1:], ranking[:top_k], strict=False):
                colour = _TRUE if method.same[query, place] else _FALSE
                _show(axes, _pixels(method, task.gallery[place]), colour, f"{method.distances[query, place]:.2f}")
    for axes in grid.ravel():
        if not axes.images:
            axes.set_axis_off()
    for rank, axes in enumerate(grid[0, 1:], start=1):
        axes.set_title(str(rank), fontsize=8)
    grid[0, 0].set_title("query", fontsize=8)
    legend = [
        Patch(fill=False, edgecolor=colour, linestyle=_FRAMES[colour], linewidth=2, label=label)
        for colour, label in ((_QUERY, "query"), (_TRUE, "same vehicle"), (_FALSE, "other vehicle"))
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=3, frameon=False)
    return figure


def choose_queries(methods: Sequence[Method], num: int, seed: int) -> list[int]:
    """Queries at random, so that a figure shows what is usual; the same for the same seed."""
    order: list[int] = np.random.default_rng(seed).permutation(len(methods[0].task.queries)).tolist()
    return order[:num]


def _pixels(method: Method, entry: Entry) -> NDArray[np.uint8]:
    return method.card.preprocessing(read_entry(method.task.manifest, entry))


def _show(axes: Axes, pixels: NDArray[np.uint8], colour: str, text: str) -> None:
    axes.imshow(pixels)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.set_xlabel(text, fontsize=7, labelpad=2)
    style: Any = _FRAMES[colour]
    for spine in axes.spines.values():
        # Projecting caps, a spine's own, would close the gaps between the dashes.
        spine.set(edgecolor=colour, linewidth=2, linestyle=style, capstyle="butt")
