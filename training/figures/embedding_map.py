"""t-SNE of some test identities, the methods side by side."""

from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from sklearn.manifold import TSNE

from training.figures.method import Method
from training.figures.style import WIDTH_INCHES

_MARKERS = "os^Dvp*XP<>hHd8"


def draw_tsne(methods: Sequence[Method], num_identities: int = 15, seed: int = 0) -> Figure:
    """The images of random identities (paper, Fig. 5) with two or more, in the plane; a colour and a marker each."""
    task = methods[0].task
    names = np.array([entry.identity if entry.role != "distractor" else "" for entry in task.queries + task.gallery])
    identities, counts = np.unique(names[names != ""], return_counts=True)
    chosen = np.sort(np.random.default_rng(seed).permutation(identities[counts > 1])[:num_identities])
    members = np.flatnonzero(np.isin(names, chosen))  # of the first draw, if there are several
    figure, row = plt.subplots(1, len(methods), figsize=(WIDTH_INCHES, WIDTH_INCHES * 0.5), squeeze=False)
    colours = plt.get_cmap("tab20")(np.linspace(0, 1, 20))
    for axes, method in zip(row[0], methods, strict=True):
        perplexity = min(30.0, max((len(members) - 1) / 3, 1.0))
        tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed)
        plane = tsne.fit_transform(method.embedded.embedding[members])
        for number, identity in enumerate(chosen):
            points = plane[names[members] == identity]
            axes.scatter(
                *points.T, s=18, color=colours[number % 20], marker=_MARKERS[number % len(_MARKERS)], label=identity
            )
        axes.set(title=method.label, xticks=[], yticks=[])
        axes.grid(visible=False)
    handles, labels = row[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=8, fontsize=7, title="identity", frameon=False)
    figure.tight_layout(rect=(0, 0.14, 1, 1))
    return figure
