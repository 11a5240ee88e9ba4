"""k-reciprocal re-ranking (Zhong et al., CVPR 2017) and query expansion (Chum et al., ICCV 2007), in bounded memory.

The textbook program holds three dense matrices of all images × all images: 100 GB for a test set of the field. Here the
neighbours come block by block, the Jaccard vectors are sparse, and the final distances leave as blocks of rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from index.ranking.ranking_metrics import squared_distances

# Rows of distances held at once: 80 MB over 40,000 images.
_BLOCK: Final = 256


@dataclass(frozen=True)
class Reranking:
    """The paper's parameters and its defaults.

    Attributes:
        k1: neighbours within which two images have to find each other.
        k2: neighbours over which an image's Jaccard vector is averaged; 1 averages nothing.
        weight: of the original distance in the final one, in 0..1.
    """

    k1: int = 20
    k2: int = 6
    weight: float = 0.3

    def __post_init__(self) -> None:
        if not (self.k1 >= 1 and self.k2 >= 1 and 0 <= self.weight <= 1):
            raise ValueError(
                "re-ranking needs k1 and k2 of 1 or more and a weight in 0..1, got "
                f"k1 {self.k1}, k2 {self.k2} and the weight {self.weight}"
            )


@dataclass(frozen=True)
class Refinement:
    """What is done besides ranking by distance.

    Attributes:
        num_expand: the query becomes the mean of itself and this many nearest records; 0 leaves it as it is.
        reranking: None does not re-rank.
    """

    num_expand: int = 0
    reranking: Reranking | None = None

    def __post_init__(self) -> None:
        if self.num_expand < 0:
            raise ValueError(f"a query is expanded by 0 or more images, got {self.num_expand}")


def rerank(
    queries: NDArray[np.float32], gallery: NDArray[np.float32], settings: Reranking
) -> Iterator[NDArray[np.float32]]:
    """The final distances (B, G) of successive blocks of queries, together (Q, G); lower is better, all in 0..1.

    Of equally distant neighbours the one with the lower row counts as nearer.
    """
    images = np.concatenate([queries, gallery])
    neighbours, farthest = _neighbours(images, max(settings.k1 + 1, settings.k2))
    vectors = _jaccard_vectors(images, neighbours, farthest, settings.k1)
    if settings.k2 > 1:
        nearest = neighbours[:, : settings.k2]
        rows = np.repeat(np.arange(len(images)), nearest.shape[1])
        shares = np.full(rows.size, 1 / nearest.shape[1])
        mean = scipy.sparse.csr_array((shares, (rows, nearest.ravel())), shape=(len(images), len(images)))
        vectors = (mean @ vectors).tocsr()
    num_queries = len(queries)
    columns = vectors[num_queries:].tocsc()
    for start in range(0, num_queries, _BLOCK):
        end = min(start + _BLOCK, num_queries)
        original = squared_distances(images[start:end], gallery) / _above_zero(farthest[start:end, None])
        jaccard = np.stack([_jaccard_distances(vectors, columns, row) for row in range(start, end)])
        yield (settings.weight * original + (1 - settings.weight) * jaccard).astype(np.float32)


def expand_queries(queries: NDArray[np.float32], gallery: NDArray[np.float32], num: int) -> NDArray[np.float32]:
    """Average query expansion: each query (Q, D) becomes the mean of itself and its `num` nearest gallery images."""
    expanded = queries.astype(np.float64)
    num = min(num, len(gallery))
    if num < 1:
        return queries
    for start in range(0, len(queries), _BLOCK):
        nearest = _nearest(squared_distances(queries[start : start + _BLOCK], gallery), num)
        for row, members in enumerate(nearest, start):
            expanded[row] = (expanded[row] + gallery[members].sum(axis=0, dtype=np.float64)) / (num + 1)
    return expanded.astype(np.float32)


def _neighbours(images: NDArray[np.float32], num: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each image its `num` nearest, itself among them, nearest first; and the largest squared distance."""
    num = min(num, len(images))
    neighbours = np.empty((len(images), num), np.int64)
    farthest = np.empty(len(images))
    for start in range(0, len(images), _BLOCK):
        squared = squared_distances(images[start : start + _BLOCK], images)
        farthest[start : start + _BLOCK] = squared.max(axis=1)
        # Itself first, also among more equal images than there is room for.
        own = np.arange(len(squared))
        squared[own, start + own] = -1
        neighbours[start : start + _BLOCK] = _nearest(squared, num)
    return neighbours, farthest


def _nearest(distances: NDArray[np.float32], num: int) -> NDArray[np.int64]:
    """The columns of the `num` smallest of each row (B, N), by (distance, column)."""
    # Everything up to the num-th smallest, ties included, then in order.
    bound = np.partition(distances, num - 1, axis=1)[:, num - 1]
    nearest = np.empty((len(distances), num), np.int64)
    for row, (values, limit) in enumerate(zip(distances, bound, strict=True)):
        candidates = np.flatnonzero(values <= limit)
        nearest[row] = candidates[np.argsort(values[candidates], kind="stable")[:num]]
    return nearest


def _jaccard_vectors(
    images: NDArray[np.float32], neighbours: NDArray[np.int64], farthest: NDArray[np.float64], k1: int
) -> scipy.sparse.csr_array:
    """Row i: weights of the expanded k-reciprocal neighbours of image i, which sum to 1 (the paper's eq. 3 to 8)."""
    within, within_half = neighbours[:, : k1 + 1], neighbours[:, : round(k1 / 2) + 1]
    half = [set(_reciprocal(within_half, image).tolist()) for image in range(len(images))]
    lengths, members, weights = [0], [], []
    for image in range(len(images)):
        own = set(_reciprocal(within, image).tolist())
        expanded = set(own)
        for candidate in own:
            if len(half[candidate] & own) > 2 / 3 * len(half[candidate]):
                expanded |= half[candidate]
        chosen = np.array(sorted(expanded), np.int64)
        squared = squared_distances(images[image : image + 1], images[chosen])[0]
        weight = np.exp(-squared / _above_zero(farthest[image]))
        members.append(chosen)
        weights.append(weight / weight.sum())
        lengths.append(len(chosen))
    parts = np.concatenate(weights), np.concatenate(members), np.cumsum(lengths)
    return scipy.sparse.csr_array(parts, shape=(len(images), len(images)))


def _reciprocal(neighbours: NDArray[np.int64], image: int) -> NDArray[np.int64]:
    """Those neighbours of an image that have it among theirs."""
    own: NDArray[np.int64] = neighbours[image]
    found: NDArray[np.int64] = own[(neighbours[own] == image).any(axis=1)]
    return found


def _jaccard_distances(
    vectors: scipy.sparse.csr_array, columns: scipy.sparse.csc_array, row: int
) -> NDArray[np.float64]:
    """1 - Σ min / Σ max between one vector and each of the gallery's (the paper's eq. 10); each sums to 1."""
    start, end = vectors.indptr[row : row + 2]
    hit: list[NDArray[np.int64]] = []
    least: list[NDArray[np.float64]] = []
    for column, weight in zip(vectors.indices[start:end], vectors.data[start:end], strict=True):
        first, last = columns.indptr[column : column + 2]
        hit.append(columns.indices[first:last])
        least.append(np.minimum(weight, columns.data[first:last]))
    overlap = np.bincount(np.concatenate(hit), np.concatenate(least), minlength=columns.shape[0])
    return 1 - overlap / (2 - overlap)


def _above_zero(values: NDArray[np.float64] | np.float64) -> NDArray[np.float64] | np.float64:
    """Where all images are one point, its distance to itself is 0 of 1."""
    return np.where(values > 0, values, 1.0)
