"""Lower bounds of distances: one matrix product for many queries and rows, proven against its rounding."""

from typing import Final, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

_UNIT: Final = 2.0**-24
_FLOAT32: Final = np.finfo(np.float32)
# Squares of larger numbers come near to float32's largest: such a vector has no bound, and is always looked at.
_LARGEST_SQUARE: Final = 1e36
# A matrix product with many more rows than queries is a third slower.
_ROWS_AT_ONCE: Final = 2048
# If at least such a share of the rows is asked for, products with all of them are quicker than with these alone, which
# lie here and there, and are copied for a matrix product.
_MANY_OF_ONE: Final = 0.35
_MANY: Final = 0.8


class Pairs(NamedTuple):
    """Queries and rows that may be near each other; no pair comes twice.

    Attributes:
        query: (P,) int64.
        row: (P,) int64. They are best rising: then what a row needs is read once for all queries.
    """

    query: NDArray[np.int64]
    row: NDArray[np.int64]

    def where(self, chosen: NDArray[np.bool_]) -> "Pairs":
        """Those chosen (P,)."""
        return Pairs(self.query[chosen], self.row[chosen])


class Bounds:
    """Vectors z (N, m) with their squared norms: |z|^2 - 2 z q is the *product* of z and a query q, |z - q|^2 - |q|^2.

    Bounds from the first numbers of longer vectors, and from the numbers that follow these, add up to the bound from
    all of them. One thread writes; others read.

    Attributes:
        squares: (N,) float32, |z|^2; -inf where a vector is too large for bounds.
    """

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        """`vectors` (capacity, m) belong to the caller, and are contiguous."""
        self._vectors = vectors
        self.squares = np.empty(len(vectors), np.float32)

    def put(self, start: int, stop: int) -> None:
        """Takes note of vectors that were written."""
        squares = np.square(self._vectors[start:stop], dtype=np.float64).sum(axis=1)
        self.squares[start:stop] = np.where(squares <= _LARGEST_SQUARE, squares, -np.inf)

    def products(self, queries: NDArray[np.float32], rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """(N, Q) of rows (rising) that were put and queries (Q, m), finite or -inf: where a row has no bound.

        The queries are those of `AskedVectors`, none of them too large.
        """
        if isinstance(rows, slice) or not len(rows):
            return self._products(queries, rows)
        start, stop = int(rows[0]), int(rows[-1]) + 1
        share = len(rows) / (stop - start)
        if share >= (_MANY_OF_ONE if len(queries) == 1 else _MANY):
            return self._products(queries, slice(start, stop))[rows - start]
        if len(queries) == 1:
            return self.products_of(queries, Pairs(np.zeros_like(rows), rows))[:, np.newaxis]
        return self._products(queries, rows)

    def products_of(self, queries: NDArray[np.float32], pairs: Pairs) -> NDArray[np.float32]:
        """(P,) of single pairs, as `products`."""
        products = np.empty(len(pairs.row), np.float32)
        squares = self.squares[pairs.row]
        twice = np.ascontiguousarray(-2 * queries)
        faiss.pairwise_indexed_inner_product(
            twice.shape[1], len(products), faiss.swig_ptr(twice), faiss.swig_ptr(pairs.query),
            faiss.swig_ptr(self._vectors), faiss.swig_ptr(pairs.row), faiss.swig_ptr(products),
        )  # fmt: skip
        with np.errstate(invalid="ignore"):
            products += squares
        products[np.isneginf(squares)] = -np.inf
        return products

    def _products(self, queries: NDArray[np.float32], rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        squares = self.squares[rows]
        with np.errstate(invalid="ignore", over="ignore"):
            products = _inner_products(self._vectors, rows, -2 * queries)
            products += squares[:, None]
        # The product of a row that is too large may overflow to +inf or be no number.
        unbounded = np.isneginf(squares)
        if unbounded.any():
            products[unbounded] = -np.inf
        return products


class AskedVectors:
    """Queries' vectors q, and what no row's product exceeds that lies within a distance of them.

    Attributes:
        vectors: (Q, m) float32; nought for one that is too large for bounds.
    """

    def __init__(
        self, vectors: NDArray[np.float32], norms: NDArray[np.float64] | None = None, relative_error: float = 0.0
    ) -> None:
        """Vectors (Q, m) that are asked for, or computed from others of these norms (Q,).

        Computed vectors, of queries and of rows, lie `relative_error` times these norms from true ones. Distances
        between the true ones exceed nobody's, nor do their norms.
        """
        squares = np.square(vectors, dtype=np.float64).sum(axis=1)
        bounded = squares <= _LARGEST_SQUARE
        self.vectors = np.where(bounded[:, None], vectors, 0)
        self._squares = np.where(bounded, squares, np.inf)
        self._norms = np.sqrt(squares) if norms is None else norms
        self._relative_error = relative_error

    def limits(self, distances: NDArray[np.float64]) -> NDArray[np.float32]:
        """What no row's product exceeds that lies within a distance (Q,) of a query, whatever was rounded away."""
        num = self.vectors.shape[1]
        with np.errstate(over="ignore", invalid="ignore"):
            # The norm of a row within a distance of a query, at most: a row of a larger norm needs no allowance.
            norms = (self._norms + distances) * (1 + self._relative_error)
            apart = 1.01 * self._relative_error * (norms + self._norms)
            # A float32 sum of m products, their squares and the parts of a longer vector errs by at most m + 4 units of
            # the sum of their sizes, in any order (Higham 2002, Sec. 3.1), and |2 z q| <= |z|^2 + |q|^2. A product, a
            # sum so far, a square and the limit itself may be lost where they lie below the smallest normal number.
            sizes = 2 * np.square(norms) + self._squares
            lost = 1.01 * (num + 6) * _UNIT * sizes + 2 * (num + 6) * float(_FLOAT32.tiny)
            limits = np.square(distances + apart) * (1 + 1e-12) - self._squares + lost
            # Infinite distances and queries too large for bounds have no limit but the largest number.
            limits = np.where(limits <= _FLOAT32.max, limits, _FLOAT32.max)
            return np.nextafter(limits.astype(np.float32), _FLOAT32.max)


def _inner_products(
    vectors: NDArray[np.float32], rows: slice | NDArray[np.int64], queries: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(N, Q) of these rows of the vectors."""
    if isinstance(rows, slice):
        vectors = vectors[rows]
        num_rows = len(vectors)
    else:
        num_rows = len(rows)
    products = np.empty((num_rows, len(queries)), np.float32)
    if len(queries) == 1 and isinstance(rows, slice):
        # BLAS has no advantage here, but starts threads, which wait for each other when one of them is interrupted.
        faiss.fvec_inner_products_ny(
            faiss.swig_ptr(products), faiss.swig_ptr(queries), faiss.swig_ptr(vectors), *reversed(vectors.shape)
        )
        return products
    for start in range(0, num_rows, _ROWS_AT_ONCE):
        chunk = slice(start, start + _ROWS_AT_ONCE)
        np.matmul(vectors[chunk if isinstance(rows, slice) else rows[chunk]], queries.T, out=products[chunk])
    return products
