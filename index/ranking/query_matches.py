"""Where each query's true matches stand in its ranking, from blocks of distances, one query after the other."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

NO_MATCH: Final = -1
"""The label of a gallery image that is nobody's true match: a distractor."""

NO_ROW: Final = -1
"""The gallery row of an image that does not exist."""


class QueryMatches(NamedTuple):
    """One query's M true matches, nearest first, and the nearest image that is none.

    Attributes:
        row: (M,) int64, each match's row of the gallery.
        rank: (M,) int64, its rank, from 1; of equally distant images the wrong ones come first.
        distance: (M,) float32, as in the blocks.
        wrong_row: of the nearest gallery image that is no match and is not left out; `NO_ROW` if there is none.
        wrong_distance: its distance; infinite if there is none.
    """

    row: NDArray[np.int64]
    rank: NDArray[np.int64]
    distance: NDArray[np.float32]
    wrong_row: int
    wrong_distance: float


def query_matches(
    blocks: Iterable[NDArray[np.float32]],
    query_labels: NDArray[np.int64],
    gallery_labels: NDArray[np.int64],
    query_cameras: NDArray[np.int64] | None = None,
    gallery_cameras: NDArray[np.int64] | None = None,
) -> Iterator[QueryMatches]:
    """Ranks distances, or whatever else is lower the better, that come as blocks of rows, together (Q, G).

    Of equally distant images the wrong ones come first, so that a network that maps everything onto one point scores
    nothing, in whatever order the files lie. Equally distant matches, and equally distant wrong ones, come by row.

    Labels (Q,) and (G,) say who is who; `NO_MATCH` is nobody's true match. Where cameras are given, gallery images with
    the query's label *and* camera are left out of its ranking.

    Raises:
        ValueError: only one of the cameras is given, or there are not as many rows as queries.
    """
    if (query_cameras is None) != (gallery_cameras is None):
        raise ValueError("query_cameras and gallery_cameras come together")
    rows = (row for block in blocks for row in block)
    for query, distances in zip(range(len(query_labels)), rows, strict=True):
        same = gallery_labels == query_labels[query]
        if query_labels[query] == NO_MATCH:
            same[:] = False
        true = same
        if query_cameras is not None and gallery_cameras is not None:
            true = same & (gallery_cameras != query_cameras[query])
        yield _of_query(distances, np.flatnonzero(true), np.flatnonzero(~same))


def _of_query(distances: NDArray[np.float32], true: NDArray[np.int64], wrong: NDArray[np.int64]) -> QueryMatches:
    """Of one query's distances (G,), and the rows of its true matches and of the wrong images."""
    matches = true[np.argsort(distances[true], kind="stable")]
    of_matches, of_wrong = distances[matches], distances[wrong]
    wrong_row, wrong_distance = NO_ROW, float("inf")
    if len(wrong):
        nearest = np.argmin(of_wrong)
        wrong_row, wrong_distance = int(wrong[nearest]), float(of_wrong[nearest])
    # The rank of the n-th true match: those up to it, and every wrong one that is not farther.
    of_wrong.sort()
    ranks = np.arange(1, len(matches) + 1) + np.searchsorted(of_wrong, of_matches, side="right")
    return QueryMatches(matches, ranks, of_matches, wrong_row, wrong_distance)
