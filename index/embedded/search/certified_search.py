"""The nearest rows of a stretch of a block, proven: bounds rule most rows out, true distances decide among the others.

A cascade, as Seidl and Kriegel's multi-step search (1998), for all queries at once: the coarse bounds of all rows, the
fine ones of the pairs of query and row that these leave, then the distances of the pairs that are left. Where bounds
leave too much, as on noise that fills all dimensions alike, the product with the embeddings themselves is the bound.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from index.embedded.search.bounds import AskedVectors, Bounds, Pairs
from index.embedded.search.folding import Folding
from index.embedded.search.nearest import Nearest
from index.embedded.search.row_block import RowBlock
from index.embedded.search.stretch import Stretch

# Rows beyond the `top_k` whose distances are taken first, for a limit to begin with.
_MARGIN: Final = 8
# For each of these: groups of rows, in which the least bounds are looked for, and rows whose bounds are tried first.
_GROUPS: Final = 32
_FIRST_ROWS: Final = 64
# If more than so many times as many pairs are left as would be taken first, these are taken.
_FEW_FIRST: Final = 4
# Coarse bounds that leave a larger share of the pairs are of no use.
_MOST_LEFT: Final = 0.5
# So few pairs are not worth another way.
_FEW_PAIRS: Final = 512
# What a query adds to the time of a matrix product, where that of a single pair is 1, and so is that of reading a row.
_PRODUCT_COST: Final = 1 / 12


class _Folded(NamedTuple):
    """Queries folded: coarsely, and whole (coarse and fine numbers)."""

    coarse: AskedVectors
    both: AskedVectors


class Queries:
    """Queries (Q, D) that are searched together: what their searches of all stretches share.

    Attributes:
        nearest: what was found so far.
        whole: the queries themselves.
    """

    def __init__(self, vectors: NDArray[np.float32], top_k: int, blocks: Sequence[RowBlock]) -> None:
        self.nearest = Nearest(vectors, top_k, blocks)
        self.whole = AskedVectors(vectors)
        # Before threads share it: each would fold the queries by itself.
        foldings = {block.folded.folding for block in blocks if block.folded is not None}
        self._folded = {folding: _fold(folding, vectors) for folding in foldings}
        self._vectors = vectors

    def __len__(self) -> int:
        return len(self._vectors)

    def folded(self, folding: Folding) -> _Folded:
        """The queries, folded."""
        # A block may have been folded anew since the search began.
        if folding not in self._folded:
            self._folded[folding] = _fold(folding, self._vectors)
        return self._folded[folding]


class Scan(Protocol):
    """Another way to search a stretch, such as a GPU's."""

    def offer(self, nearest: Nearest, asked: AskedVectors, stretch: Stretch) -> bool:
        """Offers all rows of a stretch that may belong to an answer; False if it cannot search this block."""


def search_stretch(queries: Queries, stretch: Stretch, scan: Scan | None = None) -> int:
    """Offers `nearest` all rows of a stretch that may belong to an answer; returns how many it searched.

    Does so by `scan`, if that can.
    """
    num_searched = int(np.count_nonzero(stretch.searched))
    if not num_searched or (scan is not None and scan.offer(queries.nearest, queries.whole, stretch)):
        return num_searched
    search = _StretchSearch(queries, stretch, num_searched)
    if not search.by_folded():
        search.by_whole()
    return num_searched


class _StretchSearch:
    """All queries in a stretch with rows to be searched. Products are (N, Q), infinite for a pair that was offered."""

    def __init__(self, queries: Queries, stretch: Stretch, num_searched: int) -> None:
        self._queries, self._nearest = queries, queries.nearest
        self._block, self._number = stretch.block, stretch.number
        self._rows: range | NDArray[np.int64] = range(stretch.start, stretch.stop)
        if num_searched < len(stretch.searched):
            self._rows = stretch.start + np.flatnonzero(stretch.searched)
        # Positions in products, without their queries' and rows' numbers.
        self._offered: list[NDArray[np.int64]] = []

    def by_folded(self) -> bool:
        """Offers what folded vectors leave; False if they are not there, or leave so much that they are of no use."""
        folded = self._block.folded
        if folded is None:
            return False
        coarse, both = self._queries.folded(folded.folding)
        fine_vectors = both.vectors[:, coarse.vectors.shape[1] :]
        # A few rows first: where these bounds are of no use, that shows before all rows have been paid for.
        num_first = _FIRST_ROWS * (self._nearest.top_k + _MARGIN)
        for num_rows in sorted({min(num_first, len(self._rows)), len(self._rows)}):
            products = self._products(folded.coarse, coarse.vectors, num_rows)
            self._offer_likeliest(products, coarse)
            possible = products <= coarse.limits(self._nearest.distances)
            if np.count_nonzero(possible) > max(_FEW_PAIRS, _MOST_LEFT * products.size):
                return False
        left = np.flatnonzero(possible)
        if self._is_quicker_by_pairs(left, products):
            pairs = self._pairs(left)
            of_pairs = products.ravel()[left] + folded.fine.products_of(fine_vectors, pairs)
            left = left[of_pairs <= both.limits(self._nearest.distances)[pairs.query]]
        else:
            # Infinity less infinity is no number, and a pair that was left out stays so.
            with np.errstate(invalid="ignore"):
                products += folded.fine.products(fine_vectors, _as_index(self._rows))
            left = np.flatnonzero(products <= both.limits(self._nearest.distances))
        if not self._is_quicker_by_pairs(left, products):
            return False
        self._nearest.offer(self._number, self._pairs(left))
        return True

    def by_whole(self) -> None:
        """Offers what is left by the product with the embeddings themselves."""
        asked = self._queries.whole
        products = self._products(self._block.whole, asked.vectors, len(self._rows))
        self._offer_likeliest(products, asked)
        left = np.flatnonzero(products <= asked.limits(self._nearest.distances))
        self._nearest.offer(self._number, self._pairs(left))

    def _products(self, bounds: Bounds, vectors: NDArray[np.float32], num_rows: int) -> NDArray[np.float32]:
        """Of the first rows."""
        products = bounds.products(vectors, _as_index(self._rows[:num_rows]))
        for positions in self._offered:
            products.ravel()[positions[positions < products.size]] = np.inf
        return products

    def _offer_likeliest(self, products: NDArray[np.float32], asked: AskedVectors) -> None:
        """Offers the pairs of the least products, about `top_k` of each query, if that may lower limits by much."""
        num_queries = len(self._queries)
        limits = asked.limits(self._nearest.distances)
        num_first = self._nearest.top_k + _MARGIN
        is_limited = bool(np.isfinite(self._nearest.distances).all())
        if is_limited and np.count_nonzero(products <= limits) <= _FEW_FIRST * num_first * num_queries:
            return
        likeliest = _likeliest(products, num_first)
        likeliest = likeliest[products.ravel()[likeliest] <= limits[likeliest % num_queries]]
        self._nearest.offer(self._number, self._pairs(likeliest))
        self._offered.append(likeliest)
        products.ravel()[likeliest] = np.inf

    def _pairs(self, positions: NDArray[np.int64]) -> Pairs:
        row, query = np.divmod(positions, len(self._queries))
        return Pairs(query, row + self._rows.start if isinstance(self._rows, range) else self._rows[row])

    def _is_quicker_by_pairs(self, left: NDArray[np.int64], products: NDArray[np.float32]) -> bool:
        num_rows, num_queries = products.shape
        most: float = max(_FEW_PAIRS, num_rows * (1 + _PRODUCT_COST * num_queries))
        return len(left) <= most


def _as_index(rows: range | NDArray[np.int64]) -> slice | NDArray[np.int64]:
    return slice(rows.start, rows.stop) if isinstance(rows, range) else rows


def _fold(folding: Folding, vectors: NDArray[np.float32]) -> _Folded:
    coarse, fine = folding.fold(vectors)
    norms, error = folding.norms(vectors), folding.relative_error
    return _Folded(
        AskedVectors(coarse, norms, error), AskedVectors(np.concatenate([coarse, fine], axis=1), norms, error)
    )


def _likeliest(products: NDArray[np.float32], num_wanted: int) -> NDArray[np.int64]:
    """The positions of about the `num_wanted` least products of each query, none of them twice."""
    num_rows, num_queries = products.shape
    # The least one of each group of rows, where these are least. Neighbours, often alike, are in different groups.
    num_members = max(1, num_rows // (_GROUPS * num_wanted))
    num_groups = num_rows // num_members
    members = products[: num_members * num_groups].reshape(num_members, num_groups, num_queries)
    num_wanted = min(num_wanted, num_groups)
    groups = np.argpartition(members.min(axis=0), num_wanted - 1, axis=0)[:num_wanted]
    query = np.arange(num_queries)
    row = members[:, groups, query].argmin(axis=0) * num_groups + groups
    positions: NDArray[np.int64] = (row * num_queries + query).ravel()
    return positions
