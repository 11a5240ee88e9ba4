"""The nearest rows of a stretch of a block, proven: bounds rule most rows out, true distances decide among the others.

A cascade, as Seidl and Kriegel's multi-step search (1998): the coarse bounds of all rows, the fine ones of what these
leave, then distances in the order of the fine bounds until the next bound exceeds the k-th distance found. Where the
coarse bounds leave too much, as on noise that fills all dimensions alike, the product with the embeddings themselves
is the bound.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.embedded.bounds import Bounds, QueryVectors, query_vectors
from index.embedded.folding import Folding
from index.embedded.nearest import Nearest
from index.embedded.row_block import RowBlock

# Rows beyond the `top_k` whose distances are taken first, for a limit to begin with, and where they are looked for.
_MARGIN: Final = 8
_FIRST_ROWS: Final = 4096
# Coarse bounds that leave a larger share of the rows than this cost more than they spare.
_MOST_LEFT: Final = 0.5
# If a smaller share is asked for, the bounds of these rows alone are read.
_FEW: Final = 0.25
# So few rows are not worth another way.
_FEW_ROWS: Final = 512
_FIRST_STEP: Final = 32


class Stretch(NamedTuple):
    """Rows of a block that are searched together.

    Attributes:
        number: of the block, as `Nearest` knows it.
        searched: (stop - start,) bool, which of the rows are searched. Nobody changes it meanwhile.
    """

    block: RowBlock
    number: int
    start: int
    stop: int
    searched: NDArray[np.bool_]


class Queries:
    """Queries (Q, D) that are searched together: what their searches of all stretches share.

    Attributes:
        nearest: (Q,) what was found so far.
        whole: the queries themselves.
    """

    def __init__(self, vectors: NDArray[np.float32], top_k: int, blocks: Sequence[RowBlock]) -> None:
        self.nearest = [Nearest(vector, top_k, blocks) for vector in vectors]
        self.whole = query_vectors(vectors)
        self._vectors = vectors
        self._folded: dict[Folding, tuple[QueryVectors, QueryVectors]] = {}
        # Before threads share it: each would fold the queries by itself.
        for folding in {block.folded.folding for block in blocks if block.folded is not None}:
            self.folded(folding)

    def folded(self, folding: Folding) -> tuple[QueryVectors, QueryVectors]:
        """The queries, coarsely and finely folded."""
        if folding not in self._folded:
            coarse, fine = folding.fold(self._vectors)
            self._folded[folding] = query_vectors(coarse), query_vectors(fine)
        return self._folded[folding]


def search_stretch(queries: Queries, stretch: Stretch) -> int:
    """Offers the `nearest` of each query all rows of a stretch that may belong to it; returns how many it searched."""
    block, searched = stretch.block, stretch.searched
    num_searched = int(np.count_nonzero(searched))
    if not num_searched:
        return 0
    rows = np.arange(stretch.start, stretch.stop)
    read: slice | NDArray[np.int64] = slice(stretch.start, stretch.stop)
    if num_searched < _FEW * len(searched):
        read = rows = rows[searched]
        searched = searched[searched]

    def products_of(bounds: Bounds, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        products = bounds.products(vectors, read)
        products[:, ~searched] = np.inf
        return products

    left = [(number, np.arange(len(rows))) for number in range(len(queries.nearest))]
    folded = block.folded
    if folded is not None:
        coarse, fine = queries.folded(folded.folding)
        left = []
        for number, products in enumerate(products_of(folded.coarse, coarse.vectors)):
            nearest = queries.nearest[number]
            positions = _possible(nearest, stretch.number, rows, folded.coarse, coarse.squares[number], products)
            if len(positions) > max(_MOST_LEFT * len(rows), _FEW_ROWS):
                left.append((number, positions))
            elif len(positions):
                query = QueryVectors(fine.vectors[number : number + 1], fine.squares[number : number + 1])
                _offer_by_bound(nearest, stretch.number, rows[positions], folded.fine, query)
    if left:
        of_whole = products_of(block.whole, queries.whole.vectors[[number for number, _ in left]])
        for (number, positions), products in zip(left, of_whole, strict=True):
            nearest, square = queries.nearest[number], queries.whole.squares[number]
            candidates = rows[positions]
            kept = _possible(nearest, stretch.number, candidates, block.whole, square, products[positions])
            nearest.offer(stretch.number, candidates[kept])
    return num_searched


def _possible(
    nearest: Nearest,
    number: int,
    rows: NDArray[np.int64],
    bounds: Bounds,
    square: float,
    products: NDArray[np.float32],
) -> NDArray[np.int64]:
    """The positions of the rows that may be among the nearest by their products; offers some, and leaves these out."""
    num_first = nearest.top_k + _MARGIN

    def offer_likeliest(positions: NDArray[np.int64]) -> None:
        if len(positions) > num_first:
            positions = positions[np.argpartition(products[positions], num_first)[:num_first]]
        nearest.offer(number, rows[positions])
        products[positions] = np.inf

    if np.isinf(nearest.distance):
        offer_likeliest(np.flatnonzero(products[:_FIRST_ROWS] != np.inf))
    positions = np.flatnonzero(products <= bounds.limit(square, nearest.distance))
    if len(positions) > 4 * num_first:
        offer_likeliest(positions)
        positions = positions[products[positions] <= bounds.limit(square, nearest.distance)]
    return positions


def _offer_by_bound(
    nearest: Nearest, number: int, rows: NDArray[np.int64], bounds: Bounds, query: QueryVectors
) -> None:
    """Offers rows by rising bound, until the next one lies beyond what is found."""
    (products,) = bounds.products(query.vectors, rows)
    order = np.argsort(products)
    rows, products = rows[order], products[order]
    start, step = 0, _FIRST_STEP
    while True:
        limit = bounds.limit(query.squares[0], nearest.distance)
        stop = min(start + step, int(np.searchsorted(products, limit, "right")))
        if stop <= start:
            return
        nearest.offer(number, rows[start:stop])
        start, step = stop, 2 * step
