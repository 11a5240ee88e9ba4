"""A search whose ranking is refined: query expansion before it, k-reciprocal re-ranking after it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.gallery.answers import SearchResult
from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from index.ranking.reranking import Refinement, Reranking, expand_queries, rerank

NUM_CANDIDATES: Final = 200
"""The nearest records among which a query is re-ranked, unless more matches are wanted."""


def refined_search(
    gallery: Gallery, queries: NDArray[np.float32], top_k: int, conditions: Filter, refinement: Refinement
) -> Iterator[SearchResult]:
    """For each of the queries (Q, D) the `top_k` records by the refined ranking, of those that pass the conditions.

    A match keeps its Euclidean distance from the query as it came; `Match.ranked_by` is what it was ranked by.
    """
    asked = queries
    if refinement.num_expand:
        nearest = gallery.search_many(queries, refinement.num_expand, conditions)
        asked = np.stack([_expanded(query, found) for query, found in zip(queries, nearest, strict=True)])
    num = top_k if refinement.reranking is None else max(top_k, NUM_CANDIDATES)
    results = gallery.search_many(asked, num, conditions)
    for query, expanded, found in zip(queries, asked, results, strict=True):
        yield _ranked(query, expanded, found, top_k, refinement.reranking)


def _expanded(query: NDArray[np.float32], found: SearchResult) -> NDArray[np.float32]:
    if not found.matches:
        return query
    records = np.stack([match.record.embedding for match in found.matches])
    expanded: NDArray[np.float32] = expand_queries(query[None], records, len(records))[0]
    return expanded


def _ranked(
    query: NDArray[np.float32],
    asked: NDArray[np.float32],
    found: SearchResult,
    top_k: int,
    reranking: Reranking | None,
) -> SearchResult:
    """What was found for `asked`, ranked anew, with the distances from `query`."""
    if not found.matches:
        return found
    ranked_by = [match.distance for match in found.matches]
    embeddings = np.stack([match.record.embedding for match in found.matches])
    if reranking is not None:
        (final,) = rerank(asked[None], embeddings, reranking)
        ranked_by = final[0].tolist()
    distances = np.linalg.norm(embeddings.astype(np.float64) - query, axis=1).tolist()
    matches = [
        replace(match, distance=distance, ranked_by=rank)
        for match, distance, rank in zip(found.matches, distances, ranked_by, strict=True)
    ]
    matches.sort(key=lambda match: (match.ranked_by, match.distance, match.record.id))
    return SearchResult(matches[:top_k], found.searched)
