"""The nearest rows of a query found so far: float32 keeps those that may be among them, float64 has the last word."""

import threading
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.embedded.row_block import RowBlock
from index.gallery.vector_index import Neighbours

_UNIT: Final = 2.0**-24
_FLOAT32: Final = np.finfo(np.float32)


class Nearest:
    """Collects the rows of some blocks for one query; threads that search different rows share it.

    Attributes:
        top_k: how many are wanted.
        distance: at least that of the last of the `top_k`; infinite while there are fewer. Rows beyond it are of no
            interest.
    """

    def __init__(self, query: NDArray[np.float32], top_k: int, blocks: Sequence[RowBlock]) -> None:
        self.top_k = top_k
        self._query, self._blocks = query, blocks
        self._lock = threading.Lock()
        self._least = np.empty(0)  # squared distances, at least
        self._most = np.empty(0)
        self._block = np.empty(0, np.int64)
        self._row = np.empty(0, np.int64)
        self.distance = np.inf
        # float32 summation of D squared differences, in any order, errs by at most (D + 2) units (Higham 2002, Sec.
        # 3.1); twice that leaves room for the terms of second order and for the rounding of float64 itself.
        self._relative_error = 2 * (len(query) + 2) * _UNIT
        # A square, and each sum so far, may be lost where it lies below float32's smallest normal number.
        self._underflow = 2 * len(query) * float(_FLOAT32.tiny)

    def offer(self, block: int, rows: NDArray[np.int64]) -> None:
        """Rows (N,) of a block, by its number; none of them was offered before."""
        squared = self._blocks[block].squared_distances(self._query, rows).astype(np.float64)
        most = (squared + self._underflow) / (1 - self._relative_error)
        # An infinite float32 distance says only that the true one is at least about as large as float32's largest.
        least = np.minimum(squared, _FLOAT32.max) / (1 + self._relative_error) - self._underflow
        possible = least <= self.distance**2
        with self._lock:
            most = np.concatenate([self._most, most[possible]])
            if len(most) >= self.top_k:
                self.distance = min(self.distance, np.sqrt(np.partition(most, self.top_k - 1)[self.top_k - 1]))
            least = np.concatenate([self._least, least[possible]])
            row = np.concatenate([self._row, rows[possible]])
            number = np.concatenate([self._block, np.full(np.count_nonzero(possible), block)])
            # At the same distance the id decides, so that all of them stay.
            kept = least <= self.distance**2
            self._least, self._most, self._block, self._row = least[kept], most[kept], number[kept], row[kept]

    def neighbours(self, searched: int) -> Neighbours:
        """The `top_k` of all that was offered."""
        distances, seqs, ids = [np.empty(0)], [np.empty(0, np.int64)], [np.empty(0, "S32")]
        for number in np.unique(self._block).tolist():
            block, rows = self._blocks[number], self._row[self._block == number]
            distances.append(block.distances(self._query, rows))
            seqs.append(block.seqs[rows])
            ids.append(block.ids[rows])
        distance, seq = np.concatenate(distances), np.concatenate(seqs)
        order = np.lexsort((np.concatenate(ids), distance))[: self.top_k]
        return Neighbours(seq[order], distance[order], searched)
