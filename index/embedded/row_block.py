"""A block of a gallery's rows in memory: embeddings, their folded vectors, the bounds of both, and fields."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from index.embedded.bounds import Bounds
from index.embedded.folding import Folding
from index.embedded.record_columns import RecordColumns
from index.gallery.fields import Fields

_CHUNK: Final = 1024  # rows copied at once: 10 MB at 2560 numbers each


class Folded(NamedTuple):
    """The folded vectors of a block's rows, and the bounds that they give."""

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
        columns: the users' fields.
        whole: bounds from the embeddings themselves.
        folded: None until there are enough rows to learn a folding from.
    """

    def __init__(self, dim: int, capacity: int, folding: Folding | None) -> None:
        self.vectors = np.empty((capacity, dim), np.float32)
        self.seqs = np.empty(capacity, np.int64)
        self.ids = np.empty(capacity, "S32")
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
    ) -> None:
        """Writes rows (N, D) from row `start` on, where nobody reads yet."""
        self._put_vectors(start, vectors, seqs, ids)
        self.columns.put(start, fields)

    def put_rows_of(self, start: int, other: "RowBlock", rows: NDArray[np.int64]) -> None:
        """Copies rows (rising) of another block to the rows from `start` on, which are the next ones."""
        for first in range(0, len(rows), _CHUNK):
            chunk = rows[first : first + _CHUNK]
            self._put_vectors(start + first, other.vectors[chunk], other.seqs[chunk], other.ids[chunk])
        self.columns.put_rows_of(other.columns, rows)

    def refold(self, folding: Folding, num_rows: int) -> None:
        """Replaces the folded vectors of the first `num_rows`.

        Nothing may be written meanwhile; readers go on with the old ones.
        """
        capacity = len(self.vectors)
        coarse = np.empty((capacity, folding.num_coarse), np.float32)
        fine = np.empty((capacity, folding.num_fine), np.float32)
        error = folding.relative_error
        folded = Folded(folding, coarse, fine, Bounds(coarse, error), Bounds(fine, error))
        _fold(folded, self.vectors[:num_rows], 0, num_rows)
        self.folded = folded

    def distances(self, query: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Euclidean distances (len(rows),) in float64; a row's does not depend on which others are asked for."""
        distances = np.empty(len(rows))
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            squares = np.square(np.subtract(self.vectors[chunk], query, dtype=np.float64))
            # Sums each row by itself, in one order; einsum's order depends on how many rows there are.
            distances[start : start + _CHUNK] = np.sqrt(squares.sum(axis=1))
        return distances

    def squared_distances(self, query: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32 squares of distances by direct summation (FAISS's `fvec_L2sqr`); infinite where they overflow."""
        squared = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), _CHUNK):
            vectors = self.vectors[rows[start : start + _CHUNK]]
            # Not `fvec_L2sqr_by_idx`, which reads in place: it starts threads, even for one query.
            faiss.fvec_L2sqr_ny(
                faiss.swig_ptr(squared[start:]), faiss.swig_ptr(query), faiss.swig_ptr(vectors),
                len(query), len(vectors),
            )  # fmt: skip
        return squared

    def _put_vectors(
        self, start: int, vectors: NDArray[np.float32], seqs: NDArray[np.int64], ids: NDArray[np.bytes_]
    ) -> None:
        stop = start + len(vectors)
        self.vectors[start:stop], self.seqs[start:stop], self.ids[start:stop] = vectors, seqs, ids
        self.whole.put(start, stop)
        if self.folded is not None:
            _fold(self.folded, vectors, start, stop)


def _fold(folded: Folded, vectors: NDArray[np.float32], start: int, stop: int) -> None:
    folded.coarse_vectors[start:stop], folded.fine_vectors[start:stop] = folded.folding.fold(vectors)
    folded.coarse.put(start, stop)
    folded.fine.put(start, stop)
