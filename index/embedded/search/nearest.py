"""The nearest rows of queries found so far: float32 keeps those that may be among them, float64 has the last word."""

import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.embedded.search.bounds import Pairs
from index.embedded.search.row_block import RowBlock
from index.gallery.vector_index import Neighbours

_UNIT: Final = 2.0**-24
_FLOAT32: Final = np.finfo(np.float32)


class _Kept(NamedTuple):
    """Pairs (P,) of a block, by its number, and the squares of their distances, at least."""

    block: int
    pairs: Pairs
    least: NDArray[np.float64]


class Nearest:
    """Collects the rows of some blocks for queries (Q, D); threads that search different rows share it.

    Attributes:
        top_k: how many are wanted, no more than there can be.
        distances: (Q,), at least that of the last of the `top_k`; infinite while there are fewer. Rows beyond it are of
            no interest. Replaced as a whole, never changed.
    """

    def __init__(self, queries: NDArray[np.float32], top_k: int, blocks: Sequence[RowBlock]) -> None:
        self.top_k = max(1, min(top_k, sum(len(block.seqs) for block in blocks)))
        self._queries, self._blocks = queries, blocks
        self._lock = threading.Lock()
        self._kept: list[_Kept] = []
        # The smallest squared distances, at most, in no order but for the last one, which is the largest.
        self._most = np.full((len(queries), self.top_k), np.inf)
        self.distances = np.full(len(queries), np.inf)
        dim = queries.shape[1]
        # float32 summation of D squared differences, in any order, errs by at most (D + 2) units (Higham 2002, Sec.
        # 3.1); twice that leaves room for the terms of second order and for the rounding of float64 itself.
        self._relative_error = 2 * (dim + 2) * _UNIT
        # A square, and each sum so far, may be lost where it lies below float32's smallest normal number.
        self._underflow = 2 * dim * float(_FLOAT32.tiny)

    def offer(self, block: int, pairs: Pairs) -> None:
        """Pairs with rows of a block, by its number; none of them was offered before."""
        if not len(pairs.row):
            return
        squared = self._blocks[block].squared_distances(self._queries, pairs).astype(np.float64)
        most = (squared + self._underflow) / (1 - self._relative_error)
        # An infinite float32 distance says only that the true one is at least about as large as float32's largest.
        least = np.minimum(squared, _FLOAT32.max) / (1 + self._relative_error) - self._underflow
        by_query = _by_query(pairs.query, most, len(self._queries))
        with self._lock:
            smallest = np.concatenate([self._most, by_query], axis=1)
            smallest.partition(self.top_k - 1, axis=1)
            self._most = smallest[:, : self.top_k].copy()
            self.distances = np.sqrt(self._most[:, -1])
            # At the same distance the id decides, so that all of them stay.
            possible = least <= self.distances[pairs.query] ** 2
            self._kept.append(_Kept(block, pairs.where(possible), least[possible]))

    def neighbours(self, searched: int) -> list[Neighbours]:
        """The `top_k` of all that was offered, for each query."""
        queries, distances = [np.empty(0, np.int64)], [np.empty(0)]
        seqs, ids = [np.empty(0, np.int64)], [np.empty(0, "S32")]
        for number, pairs, least in self._kept:
            block, left = self._blocks[number], pairs.where(least <= self.distances[pairs.query] ** 2)
            queries.append(left.query)
            distances.append(block.distances(self._queries, left))
            seqs.append(block.seqs[left.row])
            ids.append(block.ids[left.row])
        query, distance, seq = np.concatenate(queries), np.concatenate(distances), np.concatenate(seqs)
        order = np.lexsort((np.concatenate(ids), distance, query))
        starts = np.searchsorted(query[order], np.arange(len(self._queries) + 1))
        found = []
        for start, stop in pairwise(starts.tolist()):
            best = order[start : min(stop, start + self.top_k)]
            found.append(Neighbours(seq[best], distance[best], searched))
        return found


def _by_query(query: NDArray[np.int64], values: NDArray[np.float64], num_queries: int) -> NDArray[np.float64]:
    """A row of values for each query, as long as the longest, filled up with infinity."""
    num_values = np.bincount(query, minlength=num_queries)
    rows = np.full((num_queries, num_values.max()), np.inf)
    order = np.argsort(query, kind="stable")
    query = query[order]
    first = np.cumsum(num_values) - num_values
    rows[query, np.arange(len(query)) - first[query]] = values[order]
    return rows
