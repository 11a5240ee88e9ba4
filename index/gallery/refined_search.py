"""A search whose ranking is refined: query expansion before it, k-reciprocal re-ranking after it."""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.gallery.answers import SearchResult
from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from index.ranking.reranking import Refinement, expand_queries, rerank

NUM_CANDIDATES: Final = 200
"""The nearest records among which a query is re-ranked, unless more matches are wanted."""


def refined_search(
    gallery: Gallery, query: NDArray[np.float32], top_k: int, conditions: Filter, refinement: Refinement
) -> SearchResult:
    """The `top_k` records by the refined ranking, of those that pass the conditions.

    A match keeps its Euclidean distance from the query (D,) as it came; `Match.ranked_by` is what it was ranked by.
    """
    asked = query
    if refinement.num_expand:
        nearest = gallery.search(query, refinement.num_expand, conditions, None).matches
        if nearest:
            records = np.stack([match.record.embedding for match in nearest])
            asked = expand_queries(query[None], records, len(nearest))[0]
    num = top_k if refinement.reranking is None else max(top_k, NUM_CANDIDATES)
    found = gallery.search(asked, num, conditions, None)
    if not found.matches:
        return found
    ranked_by = [match.distance for match in found.matches]
    embeddings = np.stack([match.record.embedding for match in found.matches])
    if refinement.reranking is not None:
        (final,) = rerank(asked[None], embeddings, refinement.reranking)
        ranked_by = final[0].tolist()
    distances = np.linalg.norm(embeddings.astype(np.float64) - query, axis=1).tolist()
    matches = [
        replace(match, distance=distance, ranked_by=rank)
        for match, distance, rank in zip(found.matches, distances, ranked_by, strict=True)
    ]
    matches.sort(key=lambda match: (match.ranked_by, match.distance, match.record.id))
    return SearchResult(matches[:top_k], found.searched)
