"""Which images show the same vehicle: average-linkage clustering of a neighbour graph, with cannot-links.

Agglomerative clustering merges the two nearest clusters again and again, as long as the mean distance between their
images (UPGMA; Sokal & Michener 1958) does not exceed a limit. Cannot-links (Davidson & Ravi, PKDD 2005) keep apart what
is known to be different. Only clusters with an image among the other's neighbours are ever considered, so that memory
grows with the pairs of neighbours and not with all pairs.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import scipy.spatial.distance
from numpy.typing import NDArray

UNKNOWN: Final = -1
"""The label of an image of which nobody knows which vehicle it shows."""

# Distances are added up as whole numbers of a millionth of the limit: a sum does not depend on its order, so that
# equally distant clusters are equally distant, and ties are broken by the images' order alone.
_UNITS: Final = 2**20
# No distance counts for more than 2**18 limits, so that no sum of a block leaves 64 bits.
_MOST_UNITS: Final = 2.0**38
# Rows of distances computed at once.
_BLOCK: Final = 1024


_Candidate = tuple[float, int, int, int, int]
"""What the heap orders by: the mean distance of two clusters in units, then their first rows; and their numbers."""


@dataclass(eq=False)
class _Cluster:
    """Some images.

    Attributes:
        members: their rows; the first of them breaks ties.
        frames: no two of them may show the same.
        label: of those whose vehicle is known.
        sums: by the number of each cluster that it may merge with, the sum of the distances of all pairs, in units.
    """

    members: list[int]
    frames: set[int]
    label: int
    sums: dict[int, int] = field(default_factory=dict)

    @property
    def first(self) -> int:
        return self.members[0]

    def may_join(self, other: "_Cluster") -> bool:
        if UNKNOWN not in (self.label, other.label) and self.label != other.label:
            return False
        return self.frames.isdisjoint(other.frames)


def cluster_vehicles(
    embeddings: NDArray[np.float32],
    pairs: NDArray[np.int64],
    max_distance: float,
    frames: Sequence[int],
    labels: Sequence[int],
    step: Callable[[], object] = lambda: None,
) -> NDArray[np.int64]:
    """The cluster (N,) of each image: the row of its first image.

    Images of one frame never come together, nor do images with different labels. Images with the same label are one
    cluster from the beginning, even in one frame: whoever labelled them knows better. Of equally near clusters those
    with the lower first rows merge first, so that the result depends on nothing but the arguments.

    Args:
        embeddings: (N, D).
        pairs: (P, 2) rows of images that are near each other, in any order and repeated or not. Clusters without such
            a pair between them are not merged; where all pairs up to `max_distance` are given, the result is that of
            the clustering of all images.
        max_distance: the largest mean distance at which two clusters are merged; above 0.
        frames: N numbers; images of one frame have the same.
        labels: N numbers from 0 on, or `UNKNOWN`.
        step: called before each merge; may raise to end it.
    """
    scale = _UNITS / max_distance
    clusters = _initial(frames, labels)
    cluster_of = np.empty(len(embeddings), np.int64)
    for number, cluster in clusters.items():
        cluster_of[cluster.members] = number
    _link(clusters, cluster_of[pairs], embeddings, scale)
    heap: list[_Candidate] = []
    for number, cluster in clusters.items():
        _push(heap, clusters, number, [other for other in cluster.sums if number < other])
    next_number = len(embeddings)
    while heap:
        _, _, _, *numbers = heapq.heappop(heap)
        if not all(number in clusters for number in numbers):  # one of them is part of another by now
            continue
        step()
        _merge(clusters, numbers, next_number, embeddings, scale)
        _push(heap, clusters, next_number, clusters[next_number].sums)
        next_number += 1
    for cluster in clusters.values():
        cluster_of[cluster.members] = cluster.first
    return cluster_of


def nearest_in_cluster(embeddings: NDArray[np.float32], rows: Sequence[int]) -> NDArray[np.float64]:
    """The distance (M,) of each of the M images of a cluster to the nearest other one; infinite for one alone."""
    nearest = np.empty(len(rows))
    for start in range(0, len(rows), _BLOCK):
        distances = scipy.spatial.distance.cdist(embeddings[rows[start : start + _BLOCK]], embeddings[rows])
        own = np.arange(len(distances))
        distances[own, start + own] = np.inf
        nearest[start : start + _BLOCK] = distances.min(axis=1)
    return nearest


def _initial(frames: Sequence[int], labels: Sequence[int]) -> dict[int, _Cluster]:
    """Images with the same label together and every other alone; by number, their first row."""
    rows_of_label: dict[int, list[int]] = defaultdict(list)
    alone = []
    for row, label in enumerate(labels):
        if label == UNKNOWN:
            alone.append([row])
        else:
            rows_of_label[label].append(row)
    groups = sorted([*alone, *rows_of_label.values()])
    return {rows[0]: _Cluster(rows, {frames[row] for row in rows}, labels[rows[0]]) for rows in groups}


def _link(
    clusters: dict[int, _Cluster], pairs: NDArray[np.int64], embeddings: NDArray[np.float32], scale: float
) -> None:
    """Computes the sums of the pairs (P, 2) of clusters that may merge."""
    if not len(pairs):
        return
    ordered = np.unique(np.sort(pairs, axis=1), axis=0)
    for first, of_first in zip(*_split_by_first(ordered), strict=True):
        cluster = clusters[first]
        others = [other for other in of_first if other != first and cluster.may_join(clusters[other])]
        rows = [row for other in others for row in clusters[other].members]
        if not rows:
            continue
        of_rows = _sums(embeddings, cluster.members, rows, scale)
        start = 0
        for other in others:
            end = start + len(clusters[other].members)
            cluster.sums[other] = clusters[other].sums[first] = sum(of_rows[start:end])
            start = end


def _split_by_first(pairs: NDArray[np.int64]) -> tuple[list[int], list[list[int]]]:
    """The first elements of sorted pairs (P, 2), each once, and the second elements that go with each."""
    firsts, starts = np.unique(pairs[:, 0], return_index=True)
    return firsts.tolist(), [seconds.tolist() for seconds in np.split(pairs[:, 1], starts[1:])]


def _merge(
    clusters: dict[int, _Cluster],
    numbers: Sequence[int],
    merged_number: int,
    embeddings: NDArray[np.float32],
    scale: float,
) -> None:
    """Replaces two clusters by one; a sum that only one of them had is completed."""
    left, right = (clusters.pop(number) for number in numbers)
    label = left.label if right.label == UNKNOWN else right.label
    merged = _Cluster(sorted(left.members + right.members), left.frames | right.frames, label)
    clusters[merged_number] = merged
    for number in left.sums.keys() | right.sums.keys():
        if number not in clusters:
            continue
        other = clusters[number]
        sums = [other.sums.pop(part, None) for part in numbers]
        if not merged.may_join(other):
            continue
        total = 0
        for part, known in zip((left, right), sums, strict=True):
            total += sum(_sums(embeddings, part.members, other.members, scale)) if known is None else known
        merged.sums[number] = other.sums[merged_number] = total


def _push(heap: list[_Candidate], clusters: dict[int, _Cluster], number: int, others: Iterable[int]) -> None:
    """Adds the pairs of a cluster with others that are near enough to be merged."""
    for other in others:
        left, right = sorted((number, other), key=lambda each: clusters[each].first)
        num_pairs = len(clusters[left].members) * len(clusters[right].members)
        mean = clusters[left].sums[right] / num_pairs
        if mean <= _UNITS:
            heapq.heappush(heap, (mean, clusters[left].first, clusters[right].first, left, right))


def _sums(embeddings: NDArray[np.float32], rows: Sequence[int], columns: Sequence[int], scale: float) -> list[int]:
    """For each of the columns the sum of its distances to all rows, in units."""
    sums = [0] * len(columns)
    for start in range(0, len(columns), _BLOCK):
        chunk = columns[start : start + _BLOCK]
        for first in range(0, len(rows), _BLOCK):
            distances = scipy.spatial.distance.cdist(embeddings[rows[first : first + _BLOCK]], embeddings[chunk])
            units = np.minimum(np.rint(distances * scale), _MOST_UNITS).astype(np.int64)
            for column, total in enumerate(units.sum(axis=0).tolist(), start):
                sums[column] += total
    return sums
