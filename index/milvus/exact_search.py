"""The nearest rows of a collection, proven: Milvus finds a shortlist in float32, float64 has the last word."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.gallery.filters import Near
from index.milvus.certainty import is_certain
from index.milvus.collection import Collection
from index.milvus.connection import MAX_ROWS
from index.milvus.found_rows import COLUMNS, NO_ROWS, FoundRows, RankedRows
from index.milvus.options import MilvusOptions
from index.milvus.scaled_vector import LARGEST_QUERY

# Rows beyond those that are wanted, so that most answers are certain at once; then so many times as many.
_MARGIN: Final = 16
_GROWTH: Final = 4
# An index that may miss rows is asked for so many times as many as are wanted.
_MORE_OF_APPROXIMATE: Final = 4
# What a row needs in a message beside its embedding, generously.
_ROW_BYTES: Final = 128


class ExactSearch:
    """Searches of a collection by conditions that share a circle on the ground.

    With an index that may miss rows, the distances and the order of what it finds are exact all the same.
    """

    def __init__(self, collection: Collection, options: MilvusOptions, near: Near | None) -> None:
        """`near` is tested exactly here: the conditions of the searches know no more than its bounding box."""
        self._collection, self._options, self._near = collection, options, near
        # What one message holds, of one query or of several.
        self._most_rows = max(1, min(MAX_ROWS, options.request_bytes // (4 * collection.dim + _ROW_BYTES)))

    def nearest(self, queries: NDArray[np.float32], num: int, expression: str) -> list[RankedRows]:
        """The `num` nearest rows of each of the queries (Q, D) that pass; fewer where there are no others.

        Raises:
            GalleryError: the server cannot be asked.
        """
        answers: dict[int, RankedRows] = {}
        norms = np.linalg.norm(queries.astype(np.float64), axis=1)
        asking = np.flatnonzero(norms <= LARGEST_QUERY).tolist()
        num_asked = num + _MARGIN if self._options.is_exact else _MORE_OF_APPROXIMATE * num + _MARGIN
        while asking and num <= self._most_rows:
            num_asked = min(num_asked, self._most_rows)
            num_together = self._most_rows // num_asked
            for start in range(0, len(asking), num_together):
                together = asking[start : start + num_together]
                shortlists = self._shortlists(queries[together], num_asked, expression)
                for number, found in zip(together, shortlists, strict=True):
                    ranked = found.ranked(queries[number], self._near)
                    if len(found) < num_asked or self._holds_nearest(queries[number], found, ranked, num):
                        answers[number] = ranked.first(num)
            asking = [number for number in asking if number not in answers]
            if num_asked == self._most_rows:
                break
            num_asked *= _GROWTH
        if open_ones := [number for number in range(len(queries)) if number not in answers]:
            answers |= zip(open_ones, self.by_reading_all(queries[open_ones], num, expression), strict=True)
        return [answers[number] for number in range(len(queries))]

    def by_reading_all(self, queries: NDArray[np.float32], num: int, expression: str) -> list[RankedRows]:
        """The same from all embeddings that pass: for what no message holds, and where float32 tells nothing apart.

        Raises:
            GalleryError: the server cannot be asked.
        """
        answers = [NO_ROWS] * len(queries)
        for page in self._collection.pages(expression, ["seq", *COLUMNS], self._most_rows):
            found = FoundRows(page, self._collection.dim)
            answers = [
                answer.merged(found.ranked(query, self._near), num)
                for answer, query in zip(answers, queries, strict=True)
            ]
        return answers

    def _holds_nearest(self, query: NDArray[np.float32], found: FoundRows, ranked: RankedRows, num: int) -> bool:
        """Whether the nearest rows are among those that were found, as far as the index tells."""
        if len(ranked.seq) < num:
            return False
        if not self._options.is_exact:
            return True
        return is_certain(query, found.vectors, float(ranked.distance[num - 1]), self._options.index_type)

    def _shortlists(self, queries: NDArray[np.float32], num: int, expression: str) -> list[FoundRows]:
        hits: list[list[dict[str, Any]]] = self._collection.call(
            "search",
            data=list(queries),
            anns_field="embedding",
            filter=expression,
            limit=num,
            output_fields=COLUMNS,
            search_params={"metric_type": "L2", "params": dict(self._options.search_params)},
            consistency_level="Strong",
        )
        rows = [[{"seq": hit["seq"], **hit["entity"]} for hit in of_query] for of_query in hits]
        return [FoundRows(of_query, self._collection.dim) for of_query in rows]
