"""The rows of a block at one moment. What is here never changes, so that a search answers for one moment too."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.embedded.row_block import RowBlock


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

    def among(self, seqs: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(num_rows,), which rows are alive and have one of these seqs (rising, without repeats)."""
        if not self.num_rows:
            return np.empty(0, np.bool_)
        first = np.searchsorted(seqs, self.seqs[0])
        last = np.searchsorted(seqs, self.seqs[-1], "right")
        return np.isin(self.seqs, seqs[first:last], assume_unique=True) & self.alive[: self.num_rows]

    def plus(self, vectors: NDArray[np.float32], seqs: NDArray[np.int64], ids: NDArray[np.bytes_]) -> "Rows":
        """With further rows (N, D), at most `num_free`. Of all `Rows` of a block, only the latest may be added to."""
        self.block.put(self.num_rows, vectors, seqs, ids)
        return self._replace(num_rows=self.num_rows + len(vectors))

    def minus(self, seqs: NDArray[np.int64]) -> "Rows":
        """Without the rows of these seqs (rising, without repeats); one that is not there is fine."""
        deleted = self.among(seqs)
        if not deleted.any():
            return self
        alive = self.alive.copy()
        alive[: self.num_rows] &= ~deleted
        return self._replace(alive=alive, num_dead=self.num_dead + int(np.count_nonzero(deleted)))
