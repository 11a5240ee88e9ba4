"""A block of a gallery's rows in memory: embeddings, their folded vectors, the bounds of both, and fields."""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from index.embedded.search.bounds import Bounds, Pairs
from index.embedded.search.folding import Folding
from index.embedded.search.record_columns import RecordColumns
from index.gallery.exact_distance import exact_distances
from index.gallery.fields import Fields

_ID_BYTES: Final = 32
_CHUNK: Final = 1024  # rows copied at once: 10 MB at 2560 numbers each
_CHUNK_OF_PAIRS: Final = 32  # in float64 at once: they stay in a core's cache


class Folded(NamedTuple):
    """The folded vectors of a block's rows, and the bounds that they give: those of both parts add up."""

    folding: Folding
    coarse_vectors: NDArray[np.float32]
    fine_vectors: NDArray[np.float32]
    coarse: Bounds
    fine: Bounds


class RowBlock:
    """Room for rows by rising seq. It knows not how many are there (`Rows` does), so one can read while another writes.

    Attributes:
        vectors: (capacity, D) float32; memory is taken as rows are written.
        seqs: (capacity,) int64.
        ids: (capacity,) bytes.
        enrolled_at: (capacity,) int64, microseconds since 1970: with the id it says which embedding it is.
        columns: the users' fields.
        whole: bounds from the embeddings themselves.
        folded: None until there are enough rows to learn a folding from.
    """

    def __init__(self, dim: int, capacity: int, folding: Folding | None) -> None:
        self.vectors = np.empty((capacity, dim), np.float32)
        self.seqs = np.empty(capacity, np.int64)
        self.ids = np.empty(capacity, f"S{_ID_BYTES}")
        self.enrolled_at = np.empty(capacity, np.int64)
        self.columns = RecordColumns(capacity)
        self.whole = Bounds(self.vectors)
        self.folded: Folded | None = None
        if folding is not None:
            self.refold(folding, 0)

    def put(
        self,
        start: int,
        vectors: NDArray[np.float32],
        seqs: NDArray[np.int64],
        ids: NDArray[np.bytes_],
        fields: Sequence[Fields],
        enrolled_at: NDArray[np.int64] | int = 0,
    ) -> None:
        """Writes rows (N, D) from row `start` on, where nobody reads yet."""
        self._put_vectors(start, vectors, seqs, ids, enrolled_at)
        self.columns.put(start, fields)

    def put_rows_of(self, start: int, other: "RowBlock", rows: NDArray[np.int64]) -> None:
        """Copies rows (rising) of another block to the rows from `start` on, which are the next ones."""
        for first in range(0, len(rows), _CHUNK):
            chunk = rows[first : first + _CHUNK]
            vectors, seqs, ids = other.vectors[chunk], other.seqs[chunk], other.ids[chunk]
            self._put_vectors(start + first, vectors, seqs, ids, other.enrolled_at[chunk])
        self.columns.put_rows_of(other.columns, rows)

    def has_id(self, ids: Collection[str], num_rows: int) -> NDArray[np.bool_]:
        """Which of the first `num_rows` (num_rows,) have one of these ids."""
        # Longer ones would be cut to the length of a row's.
        wanted = np.array([id_ for id_ in ids if len(id_) <= _ID_BYTES and id_.isascii()], self.ids.dtype)
        # Numbers are compared many times as fast as texts; the few rows whose first eight bytes fit are compared whole.
        first_bytes = self.ids[:num_rows].view(np.uint64)[:: _ID_BYTES // 8]
        rows = np.flatnonzero(np.isin(first_bytes, wanted.view(np.uint64)[:: _ID_BYTES // 8]))
        found = np.zeros(num_rows, np.bool_)
        found[rows] = np.isin(self.ids[rows], wanted)
        return found

    def refold(self, folding: Folding, num_rows: int) -> None:
        """Replaces the folded vectors of the first `num_rows`.

        Nothing may be written meanwhile; readers go on with the old ones.
        """
        self.use(self.folded_by(folding, num_rows), num_rows, num_rows)

    def folded_by(self, folding: Folding, num_rows: int) -> Folded:
        """The first `num_rows` folded, with room for the others, which may be written meanwhile."""
        capacity = len(self.vectors)
        coarse = np.empty((capacity, folding.num_coarse), np.float32)
        fine = np.empty((capacity, folding.num_fine), np.float32)
        folded = Folded(folding, coarse, fine, Bounds(coarse), Bounds(fine))
        _fold(folded, self.vectors[:num_rows], 0, num_rows)
        return folded

    def use(self, folded: Folded, start: int, num_rows: int) -> None:
        """Takes folded vectors of the first rows up to `start`, and folds the rest of the first `num_rows` by them.

        Nothing may be written meanwhile; readers go on with the old ones.
        """
        _fold(folded, self.vectors[start:num_rows], start, num_rows)
        self.folded = folded

    def distances(self, queries: NDArray[np.float32], pairs: Pairs) -> NDArray[np.float64]:
        """Euclidean distances (P,) to queries (Q, D) in float64; none depends on which others are asked for."""
        distances = np.empty(len(pairs.row))
        for start in range(0, len(distances), _CHUNK_OF_PAIRS):
            query, row = (of[start : start + _CHUNK_OF_PAIRS] for of in pairs)
            distances[start : start + _CHUNK_OF_PAIRS] = exact_distances(self.vectors[row], queries[query])
        return distances

    def squared_distances(self, queries: NDArray[np.float32], pairs: Pairs) -> NDArray[np.float32]:
        """float32 squares of distances (P,) to queries (Q, D) by direct summation; infinite where they overflow."""
        squared = np.empty(len(pairs.row), np.float32)
        faiss.pairwise_indexed_L2sqr(
            queries.shape[1], len(squared), faiss.swig_ptr(queries), faiss.swig_ptr(pairs.query),
            faiss.swig_ptr(self.vectors), faiss.swig_ptr(pairs.row), faiss.swig_ptr(squared),
        )  # fmt: skip
        return squared

    def _put_vectors(
        self,
        start: int,
        vectors: NDArray[np.float32],
        seqs: NDArray[np.int64],
        ids: NDArray[np.bytes_],
        enrolled_at: NDArray[np.int64] | int,
    ) -> None:
        stop = start + len(vectors)
        self.enrolled_at[start:stop] = enrolled_at
        self.vectors[start:stop], self.seqs[start:stop], self.ids[start:stop] = vectors, seqs, ids
        self.whole.put(start, stop)
        if self.folded is not None:
            _fold(self.folded, vectors, start, stop)


def _fold(folded: Folded, vectors: NDArray[np.float32], start: int, stop: int) -> None:
    folded.coarse_vectors[start:stop], folded.fine_vectors[start:stop] = folded.folding.fold(vectors)
    folded.coarse.put(start, stop)
    folded.fine.put(start, stop)
