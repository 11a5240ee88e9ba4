"""CMC, mAP and mINP from embeddings, exactly, in blocks: never a whole query × gallery matrix."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.ranking.query_matches import QueryMatches, query_matches

# Queries and gallery rows multiplied at once; a block in float64 has 17 MB, its operands 95 MB at 2560 numbers each.
_QUERY_BLOCK: Final = 512
_GALLERY_BLOCK: Final = 4096
# Below this share of the squared norms a squared distance is nothing but the rounding of the matrix product.
_ROUNDING: Final = 1e-12


class QueryScores(NamedTuple):
    """One value per query; a query without a true match has 0 matches, rank 0 and scores 0.

    Attributes:
        num_matches: (Q,) int64, true matches in the gallery.
        first_rank: (Q,) int64, rank of the first of them, from 1.
        average_precision: (Q,) float64, mean over the true matches of (true matches so far) / rank.
        inverse_negative_penalty: (Q,) float64, num_matches / rank of the last true match (Ye et al. 2021).
    """

    num_matches: NDArray[np.int64]
    first_rank: NDArray[np.int64]
    average_precision: NDArray[np.float64]
    inverse_negative_penalty: NDArray[np.float64]


def score_queries(
    queries: NDArray[np.float32],
    gallery: NDArray[np.float32],
    query_labels: NDArray[np.int64],
    gallery_labels: NDArray[np.int64],
    query_cameras: NDArray[np.int64] | None = None,
    gallery_cameras: NDArray[np.int64] | None = None,
) -> QueryScores:
    """Ranks the gallery (G, D) for every query (Q, D) by Euclidean distance; labels and cameras as `score_distances`.

    Raises:
        ValueError: a number is not finite, or only one of the cameras is given.
    """
    blocks = distance_blocks(queries, gallery)
    return score_distances(blocks, query_labels, gallery_labels, query_cameras, gallery_cameras)


def distance_blocks(queries: NDArray[np.float32], gallery: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """The squared Euclidean distances (B, G) of successive blocks of queries (Q, D) to the gallery (G, D).

    Raises:
        ValueError: a number is not finite.
    """
    if not (np.isfinite(queries).all() and np.isfinite(gallery).all()):
        raise ValueError("an embedding is not finite")
    return (squared_distances(queries[i : i + _QUERY_BLOCK], gallery) for i in range(0, len(queries), _QUERY_BLOCK))


def score_distances(
    blocks: Iterable[NDArray[np.float32]],
    query_labels: NDArray[np.int64],
    gallery_labels: NDArray[np.int64],
    query_cameras: NDArray[np.int64] | None = None,
    gallery_cameras: NDArray[np.int64] | None = None,
) -> QueryScores:
    """Scores what `index.ranking.query_matches.query_matches` ranks; it takes the same.

    Raises:
        ValueError: only one of the cameras is given, or there are not as many rows as queries.
    """
    matches = query_matches(blocks, query_labels, gallery_labels, query_cameras, gallery_cameras)
    return score_matches(matches, len(query_labels))


def score_matches(matches: Iterable[QueryMatches], num: int) -> QueryScores:
    """Scores `num` queries by where their true matches stand."""
    scores = QueryScores(np.zeros(num, np.int64), np.zeros(num, np.int64), np.zeros(num), np.zeros(num))
    for query, found in enumerate(matches):
        num_matches = len(found.rank)
        if num_matches == 0:
            continue
        scores.num_matches[query] = num_matches
        scores.first_rank[query] = found.rank[0]
        scores.average_precision[query] = (np.arange(1, num_matches + 1) / found.rank).mean()
        scores.inverse_negative_penalty[query] = num_matches / found.rank[-1]
    return scores


def squared_distances(queries: NDArray[np.float32], gallery: NDArray[np.float32]) -> NDArray[np.float32]:
    """(Q, D) and (G, D) -> (Q, G): ‖q‖² + ‖g‖² − 2 q·g in float64, 0 where only rounding is left.

    Both are taken from the gallery's mean: far from the origin the norms would drown the differences.
    """
    centre = gallery.mean(axis=0, dtype=np.float64) if len(gallery) else np.float64(0)
    wide = queries - centre
    query_norms = np.einsum("nd,nd->n", wide, wide)[:, None]
    squared = np.empty((len(queries), len(gallery)), np.float32)
    for start in range(0, len(gallery), _GALLERY_BLOCK):
        block = gallery[start : start + _GALLERY_BLOCK] - centre
        norms = query_norms + np.einsum("nd,nd->n", block, block)
        exact = norms - 2 * (wide @ block.T)
        exact[exact < _ROUNDING * norms] = 0
        squared[:, start : start + _GALLERY_BLOCK] = exact
    return squared


def cmc_curve(first_rank: NDArray[np.int64]) -> NDArray[np.float64]:
    """The share of queries whose first true match has rank 1, 1 to 2, ...: up to where it reaches 1.

    Args:
        first_rank: (Q,) of the queries that have a true match, each 1 or more; there must be one.
    """
    curve: NDArray[np.float64] = np.cumsum(np.bincount(first_rank)[1:]) / len(first_rank)
    return curve
