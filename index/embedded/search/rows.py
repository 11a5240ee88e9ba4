"""The rows of a block at one moment. Which they are never changes, so that a search answers for one moment too."""

from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.embedded.search.row_block import RowBlock
from index.gallery.fields import Fields


class Rows(NamedTuple):
    """Rows of a block, some of them deleted: these stay, dead, until the block is compacted.

    Attributes:
        alive: (capacity,) bool, true also for rows still to come.
        num_rows: dead ones too.
        num_dead: of them.
    """

    block: RowBlock
    alive: NDArray[np.bool_]
    num_rows: int = 0
    num_dead: int = 0

    @classmethod
    def none_yet(cls, block: RowBlock) -> "Rows":
        """Of a new block."""
        return cls(block, np.ones(len(block.seqs), np.bool_))

    @property
    def num_alive(self) -> int:
        """Rows that are searched."""
        return self.num_rows - self.num_dead

    @property
    def num_free(self) -> int:
        """Rows that can still be added."""
        return len(self.alive) - self.num_rows

    @property
    def seqs(self) -> NDArray[np.int64]:
        """(num_rows,), rising."""
        return self.block.seqs[: self.num_rows]

    def positions(self, seqs: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each seq (N,); -1 for one that is not here. Dead rows are found too."""
        rows = np.searchsorted(self.seqs, seqs)
        found = rows < self.num_rows
        found[found] = self.seqs[rows[found]] == seqs[found]
        return np.where(found, rows, -1)

    def plus(
        self,
        vectors: NDArray[np.float32],
        seqs: NDArray[np.int64],
        ids: NDArray[np.bytes_],
        fields: Sequence[Fields],
        enrolled_at: NDArray[np.int64] | int = 0,
    ) -> "Rows":
        """With further rows (N, D), at most `num_free`. Of all `Rows` of a block, only the latest may be added to."""
        self.block.put(self.num_rows, vectors, seqs, ids, fields, enrolled_at)
        return self._replace(num_rows=self.num_rows + len(vectors))

    def plus_alive_of(self, other: "Rows", start: int = 0) -> "Rows":
        """With another block's rows from `start` on that are alive."""
        rows = start + np.flatnonzero(other.alive[start : other.num_rows])
        self.block.put_rows_of(self.num_rows, other.block, rows)
        return self._replace(num_rows=self.num_rows + len(rows))

    def update(self, changes: Mapping[int, Fields]) -> None:
        """Replaces the fields of rows, by seq, for all `Rows` of the block; a seq that is not here is fine."""
        rows = self.positions(np.fromiter(changes, np.int64, len(changes)))
        here = rows >= 0
        if here.any():
            self.block.columns.set(rows[here], list(compress(changes.values(), here)))

    def minus(self, seqs: NDArray[np.int64]) -> "Rows":
        """Without the rows of these seqs; one that is not there is fine."""
        rows = self.positions(seqs)
        rows = rows[rows >= 0]
        rows = np.unique(rows[self.alive[rows]])
        if not len(rows):
            return self
        alive = self.alive.copy()
        alive[rows] = False
        return self._replace(alive=alive, num_dead=self.num_dead + len(rows))


def with_rows(
    blocks: Sequence[Rows],
    new_block: Callable[[], RowBlock],
    vectors: NDArray[np.float32],
    seqs: NDArray[np.int64],
    ids: NDArray[np.bytes_],
    fields: Sequence[Fields],
    enrolled_at: NDArray[np.int64] | int = 0,
) -> tuple[Rows, ...]:
    """The blocks with further rows (N, D): they fill the last block, then new ones."""
    extended = list(blocks)
    enrolled_at = np.broadcast_to(enrolled_at, len(seqs))
    start = 0
    while start < len(seqs):
        if not extended or not extended[-1].num_free:
            extended.append(Rows.none_yet(new_block()))
        new = slice(start, start + extended[-1].num_free)
        extended[-1] = extended[-1].plus(vectors[new], seqs[new], ids[new], fields[new], enrolled_at[new])
        start = new.stop
    return tuple(extended)
