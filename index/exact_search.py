"""Exact Euclidean search: FAISS finds a shortlist, float64 decides it, and a bound proves that nobody is missing."""

import threading
from typing import Final, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

# float32 summation of D squared differences errs by at most (D + 2) units in the last place (Higham 2002, Sec. 3.1).
_UNIT: Final = 2.0**-24
# A square below float32's smallest normal number may be lost altogether.
_UNDERFLOW: Final = float(np.finfo(np.float32).tiny)
# How many more than top_k are recomputed at first; a shortlist that proves too short grows fourfold.
_MARGIN: Final = 16
# Rows recomputed at once: 80 MB in float64 at 2560 numbers each.
_CHUNK: Final = 4096


class Neighbours(NamedTuple):
    """Rows by rising (distance, id): seq (K,) int64 and distance (K,) float64, of `searched` candidates."""

    seq: NDArray[np.int64]
    distance: NDArray[np.float64]
    searched: int


class ExactSearch:
    """Embeddings (N, D) float32 in memory, each with a rising seq and an id. Derived: it can always be rebuilt.

    An answer is exact and does not depend on FAISS's rounding: a shortlist by FAISS's float32 distances is
    recomputed in float64, and it is complete as soon as the top_k-th of them lies below whatever the rest can have.
    Thread-safe; searches and changes exclude each other, and one search already uses every core.
    """

    def __init__(self, dim: int) -> None:
        self._index = faiss.IndexFlatL2(dim)
        self._seq = np.empty(0, np.int64)
        self._id = np.empty(0, "S32")
        self._lock = threading.Lock()
        self._relative_error = (dim + 2) * _UNIT

    def __len__(self) -> int:
        return len(self._seq)

    @property
    def last_seq(self) -> int:
        """The highest seq held, 0 if there is none."""
        return int(self._seq[-1]) if len(self._seq) else 0

    def add(self, embeddings: NDArray[np.float32], seqs: list[int], ids: list[str]) -> None:
        """Appends rows (N, D); seqs must rise, also over what is there.

        Raises:
            ValueError: seqs that do not rise, or an embedding that is not finite (FAISS would never find it).
        """
        if not seqs:
            return
        if not np.isfinite(embeddings).all():
            raise ValueError("an embedding is not finite")
        with self._lock:
            rising = np.array([self.last_seq, *seqs], np.int64)
            if not (np.diff(rising) > 0).all():
                raise ValueError(f"seqs must rise, got {rising.tolist()[:10]}")
            # All that may fail for want of memory comes before the first change.
            grown = np.concatenate([self._seq, rising[1:]]), np.concatenate([self._id, np.array(ids, "S32")])
            self._index.add(np.ascontiguousarray(embeddings, np.float32))
            self._seq, self._id = grown

    def remove(self, seqs: list[int]) -> None:
        """Drops rows; a seq that is not there is fine. O(N): FAISS closes the gaps."""
        with self._lock:
            rows = self._rows(np.array(seqs, np.int64))
            if len(rows):
                shrunk = np.delete(self._seq, rows), np.delete(self._id, rows)
                self._index.remove_ids(faiss.IDSelectorBatch(rows))
                self._seq, self._id = shrunk

    def search(self, query: NDArray[np.float32], top_k: int, seqs: NDArray[np.int64] | None = None) -> Neighbours:
        """The `top_k` rows nearest to a query (D,), among `seqs` (all rows if None).

        Raises:
            ValueError: the query is not finite or of another size, or `top_k` below 1.
        """
        if query.shape != (self._index.d,) or not np.isfinite(query).all():
            raise ValueError(f"the query is not finite, or not {self._index.d} numbers")
        if top_k < 1:
            raise ValueError(f"top_k must be 1 or more, got {top_k}")
        query = np.ascontiguousarray(query, np.float32)
        with self._lock:
            rows = None if seqs is None else self._rows(seqs)
            searched = len(self) if rows is None else len(rows)
            if not searched:
                return Neighbours(np.empty(0, np.int64), np.empty(0), 0)
            top_k = min(top_k, searched)
            size = min(top_k + _MARGIN, searched)
            while True:
                shortlist, rest_above = self._shortlist(query, size, rows)
                exact = self._distances(query, shortlist)
                order = np.lexsort((self._id[shortlist], exact))[:top_k]
                # Strictly below: at equality a row outside could come first by its id.
                if size == searched or exact[order[-1]] < rest_above:
                    break
                size = min(size * 4, searched)
            return Neighbours(self._seq[shortlist[order]], exact[order], searched)

    def _shortlist(
        self, query: NDArray[np.float32], size: int, rows: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], float]:
        """The `size` rows that FAISS puts first, and a distance that every other row has at least."""
        num_rows = len(self) if rows is None else len(rows)
        if size < num_rows:
            parameters = None
            if rows is not None:
                bitmap = np.zeros(len(self), np.bool_)
                bitmap[rows] = True
                parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(np.packbits(bitmap, bitorder="little")))
            squared, found = self._index.search(query[None], size, params=parameters)
        if size == num_rows or found.min() < 0:  # FAISS pads with -1 for distances beyond float32
            return np.arange(len(self)) if rows is None else rows, np.inf
        worst = float(squared[0, -1])
        least = worst * (1 - 2 * self._relative_error) - self._index.d * _UNDERFLOW
        return found[0].astype(np.int64), float(np.sqrt(max(least, 0.0)))

    def _distances(self, query: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        # FAISS's own storage, seen as an array: no second copy of the gallery. Only valid under the lock.
        stored = faiss.rev_swig_ptr(self._index.get_xb(), len(self) * self._index.d).reshape(len(self), -1)
        distances = np.empty(len(rows))
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            difference = stored[chunk].astype(np.float64) - query.astype(np.float64)
            distances[start : start + _CHUNK] = np.sqrt(np.einsum("nd,nd->n", difference, difference))
        return distances

    def _rows(self, seqs: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of those seqs that are there, ascending."""
        wanted = np.unique(seqs)
        rows: NDArray[np.int64] = np.searchsorted(self._seq, wanted)
        present = rows < len(self._seq)
        rows, wanted = rows[present], wanted[present]
        kept: NDArray[np.int64] = rows[self._seq[rows] == wanted]
        return kept
