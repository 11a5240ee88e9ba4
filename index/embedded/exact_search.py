"""Exact Euclidean search: FAISS's float32 distances make a shortlist, float64 decides it, a bound proves it complete.

The bound holds for direct summation of (x - y)^2 only. So every search, of any size, with or without a filter, on any
number of threads, goes through `IndexFlat.compute_distance_subset`, which runs `fvec_L2sqr` on each row. Not so
`IndexFlat.search`: without a selector FAISS 1.15 computes |x|^2 - 2xy + |y|^2 from 10,000 rows on
(`knn_db_parallel_impl`), and far from the origin that cancels away every digit of a small distance.
"""

import math
import threading
from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray

from index.gallery.vector_index import Neighbours

# float32 summation of D squared differences, in any order, errs by at most (D + 2) units (Higham 2002, Sec. 3.1).
_UNIT: Final = 2.0**-24
_FLOAT32: Final = np.finfo(np.float32)
# What one thread scans in a few milliseconds. Less is not shared: while the network keeps all cores busy, waiting for
# a second one takes longer than scanning alone.
_BYTES_PER_THREAD: Final = 100_000_000
# Rows recomputed at once: 80 MB in float64 at 2560 numbers each.
_CHUNK: Final = 4096


class ExactSearch:
    """Embeddings (N, D) float32 in memory, each with a rising seq and an id. Derived: it can always be rebuilt.

    An answer is exact and depends neither on FAISS's rounding nor on its number of threads: all rows whose float32
    distance leaves them a chance are recomputed in float64. Equal rows have equal distances and come by rising id.
    Thread-safe: searches and changes wait for each other. The scan of one search takes one of FAISS's threads for every
    100 MB of rows, up to `OMP_NUM_THREADS` or one per core; the float64 distances of its shortlist take one thread.
    """

    def __init__(self, dim: int) -> None:
        self._index = faiss.IndexFlatL2(dim)
        self._seq = np.empty(0, np.int64)
        self._id = np.empty(0, "S32")
        self._lock = threading.Lock()
        # Twice what Higham says: room for the terms of second order, and for the rounding of float64 itself.
        self._relative_error = 2 * (dim + 2) * _UNIT
        # A square, and each sum so far, may be lost where it lies below float32's smallest normal number.
        self._underflow = 2 * dim * float(_FLOAT32.tiny)

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
            rows = np.arange(len(self)) if seqs is None else self._rows(seqs)
            if not len(rows):
                return Neighbours(np.empty(0, np.int64), np.empty(0), 0)
            shortlist = self._shortlist(query, min(top_k, len(rows)), rows)
            distances = self._distances(query, shortlist)
            order = np.lexsort((self._id[shortlist], distances))[:top_k]
            return Neighbours(self._seq[shortlist[order]], distances[order], len(rows))

    def _shortlist(self, query: NDArray[np.float32], top_k: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the rows that may be among the `top_k` nearest, ascending: at least `top_k` of them."""
        squared = self._squared_distances(query, rows)
        kth = float(np.partition(squared, top_k - 1)[top_k - 1])
        # At least top_k rows lie within this squared distance, whatever float32 rounded away. Rows at exactly this
        # distance belong to the shortlist: they may come first by their id.
        kth_at_most = (kth + self._underflow) / (1 - self._relative_error)
        # An infinite float32 distance says only that the true one is at least about as large as float32's largest.
        at_least = np.minimum(squared, _FLOAT32.max).astype(np.float64) / (1 + self._relative_error) - self._underflow
        return rows[at_least <= kth_at_most]

    def _squared_distances(self, query: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """FAISS's squared distances (len(rows),) by direct summation; infinite where they overflow float32."""
        max_threads = faiss.omp_get_max_threads()
        num_threads = min(max_threads, math.ceil(len(rows) * query.nbytes / _BYTES_PER_THREAD))
        # FAISS shares out queries, not rows, among its threads: each thread's rows are searched by a query of its own.
        queries = np.tile(query, (num_threads, 1))
        rows_of_each = math.ceil(len(rows) / num_threads)
        slices = np.full(num_threads * rows_of_each, -1, np.int64)
        slices[: len(rows)] = rows
        squared = np.empty(len(slices), np.float32)
        # OpenMP keeps this number for each thread that calls it: no other thread's searches are slowed down.
        faiss.omp_set_num_threads(num_threads)
        try:
            self._index.compute_distance_subset(
                num_threads, faiss.swig_ptr(queries), rows_of_each, faiss.swig_ptr(squared), faiss.swig_ptr(slices)
            )
        finally:
            faiss.omp_set_num_threads(max_threads)
        return squared[: len(rows)]

    def _distances(self, query: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Distances (len(rows),) in float64; a row's does not depend on which others are asked for."""
        # FAISS's own storage, seen as an array: no second copy of the gallery. Only valid under the lock.
        stored = faiss.rev_swig_ptr(self._index.get_xb(), len(self) * self._index.d).reshape(len(self), -1)
        distances = np.empty(len(rows))
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            squares = np.square(np.subtract(stored[chunk], query, dtype=np.float64))
            # Sums each row by itself, in one order; einsum's order depends on how many rows there are.
            distances[start : start + _CHUNK] = np.sqrt(squares.sum(axis=1))
        return distances

    def _rows(self, seqs: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of those seqs that are there, ascending."""
        wanted = np.unique(seqs)
        rows: NDArray[np.int64] = np.searchsorted(self._seq, wanted)
        present = rows < len(self._seq)
        rows, wanted = rows[present], wanted[present]
        kept: NDArray[np.int64] = rows[self._seq[rows] == wanted]
        return kept
