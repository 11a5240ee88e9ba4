"""What self-alignment does: the network's input above, what it made of it below, and theta."""

from collections.abc import Sequence

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from index.datasets.bulk_embedding import read_entry
from model.aligned_view import aligned_view
from model.theta import turn_of
from training.figures.method import Method
from training.figures.style import WIDTH_INCHES


def draw_alignment(method: Method, queries: Sequence[int]) -> Figure:
    """Input and aligned view of some queries (positions in the task), with the turn and theta's linear part."""
    figure, grid = plt.subplots(
        2, len(queries), figsize=(WIDTH_INCHES, WIDTH_INCHES * 2.6 / len(queries)), squeeze=False, layout="constrained"
    )
    for column, query in enumerate(queries):
        entry, theta = method.task.queries[query], method.embedded.theta[query]
        prepared = method.card.preprocessing(read_entry(method.task.manifest, entry))
        turn = turn_of(theta)
        # + 0: never "-0.00".
        numbers = "\n".join(" ".join(f"{round(value, 2) + 0:.2f}" for value in row) for row in theta.tolist())
        mirrored = ", mirrored" if turn.mirrored else ""
        aligned = aligned_view(prepared, theta, method.card.config, method.card.preprocessing)
        pictures = ((prepared, entry.identity), (aligned, f"{round(turn.rotation_deg) + 0:+d}°{mirrored}\n{numbers}"))
        for axes, (pixels, text) in zip(grid[:, column], pictures, strict=True):
            axes.imshow(pixels)
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            axes.set_xlabel(text, fontsize=6, family="monospace")
    for axes, text in zip(grid[:, 0], ("input", "aligned"), strict=True):
        axes.set_ylabel(text)
    figure.suptitle(method.label)
    return figure
