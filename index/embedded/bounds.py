"""Lower bounds of distances: one matrix product for many queries and rows, proven against its rounding."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

_UNIT: Final = 2.0**-24
_FLOAT32: Final = np.finfo(np.float32)
# Squares of larger numbers come near to float32's largest: such a vector has no bound, and is always looked at.
_LARGEST_SQUARE: Final = 1e36


class QueryVectors(NamedTuple):
    """Queries (Q, m) float32 and their squared norms (Q,); nought and infinite for one that is too large for bounds."""

    vectors: NDArray[np.float32]
    squares: NDArray[np.float64]


def query_vectors(vectors: NDArray[np.float32]) -> QueryVectors:
    """Queries (Q, m), as `Bounds` asks for them."""
    squares = np.square(vectors, dtype=np.float64).sum(axis=1)
    bounded = squares <= _LARGEST_SQUARE
    return QueryVectors(np.where(bounded[:, None], vectors, 0), np.where(bounded, squares, np.inf))


class Bounds:
    """Vectors z (N, m) with their squared norms, so that |z - q|^2 - |q|^2 is |z|^2 - 2 z q: the *product* of z and q.

    A row may lie within a distance of a query unless its product exceeds `limit`. One thread writes; others read.
    """

    def __init__(self, vectors: NDArray[np.float32], relative_error: float = 0.0) -> None:
        """`vectors` (capacity, m) belong to the caller; each may lie `relative_error` times its norm from the true one.

        Where true distances are those of longer vectors, these must be no shorter (`Folding`).
        """
        self._vectors = vectors
        self._relative_error = relative_error
        self._squares = np.empty(len(vectors), np.float32)
        self._largest_square = 0.0

    def put(self, start: int, stop: int) -> None:
        """Takes note of vectors that were written."""
        squares = np.square(self._vectors[start:stop], dtype=np.float64).sum(axis=1)
        bounded = squares <= _LARGEST_SQUARE
        self._largest_square = max(self._largest_square, float(squares[bounded].max(initial=0)))
        self._squares[start:stop] = np.where(bounded, squares, -np.inf)

    def products(self, queries: NDArray[np.float32], rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """(Q, N) of `QueryVectors.vectors` (Q, m) and rows that were put; -inf where a row has no bound."""
        squares = self._squares[rows]
        with np.errstate(invalid="ignore", over="ignore"):
            products: NDArray[np.float32] = (-2 * queries) @ self._vectors[rows].T
            products += squares
        # The product of a row that is too large may overflow to +inf or be no number.
        unbounded = np.isneginf(squares)
        if unbounded.any():
            products[:, unbounded] = -np.inf
        return products

    def limit(self, query_square: float, distance: float) -> np.float32:
        """What no row's product exceeds that lies within a distance of a query, whatever was rounded away."""
        if np.isinf(query_square) or np.isinf(distance):
            return np.float32(_FLOAT32.max)
        num = self._vectors.shape[1]
        norms = np.sqrt(self._largest_square) + np.sqrt(query_square)
        apart = 1.01 * self._relative_error * norms
        # A float32 sum of m products errs by at most m units of the sum of their sizes, in any order (Higham 2002, Sec.
        # 3.1), and |2 z q| <= |z|^2 + |q|^2. A product, a sum so far, a square and the limit itself may be lost where
        # they lie below the smallest normal number.
        sizes = 2 * self._largest_square + query_square
        lost = 1.01 * (num + 3) * _UNIT * sizes + 2 * (num + 2) * float(_FLOAT32.tiny)
        limit = (distance + apart) ** 2 * (1 + 1e-12) - query_square + lost
        rounded_up: np.float32 = np.nextafter(np.float32(min(limit, _FLOAT32.max)), np.float32(_FLOAT32.max))
        return rounded_up
