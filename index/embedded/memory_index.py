"""The vector index of one process: all rows in memory, searched exactly."""

from collections.abc import Sequence
from functools import partial
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from index.embedded.record_columns import NO_IDENTITY
from index.embedded.row_block import RowBlock
from index.embedded.row_blocks import RowBlocks
from index.gallery.fields import Fields
from index.gallery.filters import Filter
from index.gallery.record import Record
from index.gallery.vector_index import Neighbours

# How many times as many rows are asked for where those of a step belong to too few identities.
_GROWTH: Final = 4


class MemoryIndex:
    """Implements `index.gallery.vector_index.VectorIndex` over row blocks. Searches wait for nothing."""

    def __init__(self, dim: int, num_threads: int = 1) -> None:
        """An empty index of embeddings (D,); `num_threads` search at the same time."""
        self._rows = RowBlocks(dim, num_threads)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def last_seq(self) -> int:
        """The highest seq ever held, 0 if there was none."""
        return self._rows.last_seq

    def add(self, records: Sequence[tuple[int, Record]]) -> None:
        """Appends (seq, record); seqs rise, also over what is there."""
        if records:
            self._rows.add(
                np.stack([record.embedding for _, record in records]),
                [seq for seq, _ in records],
                [record.id for _, record in records],
                [record.fields for _, record in records],
            )

    def update(self, seq: int, fields: Fields) -> None:
        """Replaces the user's fields of a row; a seq that is not there is fine."""
        self._rows.update(seq, fields)

    def remove(self, seqs: Sequence[int]) -> None:
        """Drops rows; a seq that is not there is fine."""
        if seqs:
            self._rows.remove(seqs)

    def search(
        self,
        queries: NDArray[np.float32],
        top_k: int,
        where: Filter,
        group_by: Literal["identity"] | None = None,
    ) -> list[Neighbours]:
        """For each of the queries (Q, D) the `top_k` nearest rows that pass the filter, or the nearest of each group.

        Raises:
            ValueError: queries that are not finite or of another size, or `top_k` below 1.
        """
        if group_by is not None:
            return [self._nearest_groups(query, top_k, where) for query in queries]
        return self._rows.search(queries, top_k, None if where == Filter() else partial(_passing, where))

    def close(self) -> None:
        """Ends its threads."""
        self._rows.close()

    def _nearest_groups(self, query: NDArray[np.float32], top_k: int, where: Filter) -> Neighbours:
        passing = partial(_passing, where)
        num_wanted, num_asked = top_k, top_k
        while True:
            (nearest,) = self._rows.search(query[None], num_asked, passing)
            first = _first_of_each(self._rows.identities(nearest.seq))
            if len(first) < num_wanted and num_asked == top_k:
                num_wanted = min(top_k, self._rows.num_groups(passing))
            # Rows may have come or gone since the groups were counted: more than all need not be asked for.
            if len(first) >= num_wanted or num_asked >= nearest.searched:
                first = first[:top_k]
                return Neighbours(nearest.seq[first], nearest.distance[first], nearest.searched)
            num_asked *= _GROWTH


def _passing(where: Filter, block: RowBlock) -> NDArray[np.bool_]:
    return block.columns.passing(where)


def _first_of_each(identities: NDArray[np.int64]) -> NDArray[np.int64]:
    """The position of the first of each identity, and of each without one, rising."""
    _, first = np.unique(identities, return_index=True)
    return np.union1d(first[identities[first] != NO_IDENTITY], np.flatnonzero(identities == NO_IDENTITY))
