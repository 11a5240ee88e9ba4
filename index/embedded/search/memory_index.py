"""The vector index of one process: all rows in memory, searched exactly."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from index.embedded.search.record_columns import NO_IDENTITY
from index.embedded.search.row_block import RowBlock
from index.embedded.search.row_blocks import Passing, RowBlocks
from index.gallery.fields import Fields
from index.gallery.filters import Filter
from index.gallery.record import Record
from index.gallery.record_store import RecordStore
from index.gallery.timestamp import microseconds
from index.gallery.vector_index import Neighbours

# How many times as many rows are asked for where those of a step belong to too few identities.
_GROWTH: Final = 4
# Rows found for all queries together, 16 bytes each: an identity may have nearly all rows of a gallery.
_MOST_FOUND: Final = 1_000_000


class MemoryIndex:
    """Implements `index.gallery.vector_index.VectorIndex` over row blocks. Searches wait for nothing."""

    def __init__(self, rows: RowBlocks) -> None:
        """Over rows that belong to the index from now on."""
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def last_seq(self) -> int:
        """The highest seq ever held, 0 if there was none."""
        return self._rows.last_seq

    @property
    def problems(self) -> Sequence[str]:
        """What of the snapshot was found damaged and made anew, in words."""
        return self._rows.problems

    def restore(self, store: RecordStore) -> None:
        """Fills the index, which is empty, with the rows of its snapshot that the store has records for.

        Raises:
            GalleryError: the store cannot be read.
        """
        self._rows.restore(store)

    def add(self, records: Sequence[tuple[int, Record]]) -> None:
        """Appends (seq, record); seqs rise, also over what is there."""
        if records:
            self._rows.add(
                np.stack([record.embedding for _, record in records]),
                [seq for seq, _ in records],
                [record.id for _, record in records],
                [record.fields for _, record in records],
                [microseconds(record.enrolled_at) for _, record in records],
            )

    def update(self, changes: Mapping[int, Fields]) -> None:
        """Replaces the user's fields of rows, by seq; a seq that is not there is fine."""
        self._rows.update(changes)

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
            return self._nearest_groups(queries, top_k, where)
        return self._rows.search(queries, top_k, _condition(where))

    def passing(self, where: Filter) -> NDArray[np.int64]:
        """The seqs (N,) of the rows that pass the filter, rising."""
        return self._rows.seqs_passing(_condition(where))

    def close(self) -> None:
        """Ends its threads."""
        self._rows.close()

    def _nearest_groups(self, queries: NDArray[np.float32], top_k: int, where: Filter) -> list[Neighbours]:
        """All queries together, and those again, with more rows, that have found too few groups."""
        condition = _condition(where)
        answers: dict[int, Neighbours] = {}
        asking = list(range(len(queries)))
        num_asked, num_wanted = top_k, top_k
        while asking:
            num_together = max(1, _MOST_FOUND // num_asked)
            for start in range(0, len(asking), num_together):
                together = asking[start : start + num_together]
                for number, nearest in zip(
                    together, self._rows.search(queries[together], num_asked, condition), strict=True
                ):
                    first = _first_of_each(self._rows.identities(nearest.seq))
                    if len(first) < num_wanted == top_k:
                        num_wanted = min(top_k, self._rows.num_groups(condition))
                    # Rows may have come or gone since the groups were counted: more than all need not be asked for.
                    if len(first) >= num_wanted or num_asked >= nearest.searched:
                        first = first[:top_k]
                        answers[number] = Neighbours(nearest.seq[first], nearest.distance[first], nearest.searched)
            asking = [number for number in asking if number not in answers]
            num_asked *= _GROWTH
        return [answers[number] for number in range(len(queries))]


def _condition(where: Filter) -> Passing | None:
    return None if where == Filter() else partial(_passing, where)


def _passing(where: Filter, block: RowBlock) -> NDArray[np.bool_]:
    passing = block.columns.passing(where)
    if where.ids:
        passing &= block.has_id(where.ids, len(passing))
    if where.other_than is not None:
        passing &= ~block.has_id([where.other_than], len(passing))
    return passing


def _first_of_each(identities: NDArray[np.int64]) -> NDArray[np.int64]:
    """The position of the first of each identity, and of each without one, rising."""
    _, first = np.unique(identities, return_index=True)
    return np.union1d(first[identities[first] != NO_IDENTITY], np.flatnonzero(identities == NO_IDENTITY))
