"""One look for all figures: legible in print, and the same bytes from the same numbers."""

from pathlib import Path
from typing import Final

import matplotlib as mpl

mpl.use("agg")

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

WIDTH_INCHES: Final = 7.0
"""Of a two-column paper's full width."""

# Okabe and Ito's colours, which colour-blind readers tell apart; with a line style each, so that a copier does too.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_STYLES: Final = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))

mpl.rcParams.update(
    {
        "figure.dpi": 100,
        "savefig.dpi": 200,
        "font.size": 9,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "legend.framealpha": 1.0,
        "svg.hashsalt": "sanet",
        "svg.fonttype": "none",
    }
)


def save(figure: Figure, path: Path) -> list[Path]:
    """Writes ``<path>.png`` and ``<path>.svg``, and closes the figure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = [path.with_suffix(".png"), path.with_suffix(".svg")]
    figure.savefig(written[0], bbox_inches="tight", metadata={"Software": None})
    figure.savefig(written[1], bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    return written
