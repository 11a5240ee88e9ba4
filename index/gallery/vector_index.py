"""What a gallery asks of whatever finds the nearest embeddings: rows in memory, or a vector database."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from index.gallery.fields import Fields
from index.gallery.filters import Filter
from index.gallery.record import Record


class Neighbours(NamedTuple):
    """Rows by rising (distance, id): seq (K,) int64 and distance (K,) float64, of `searched` candidates."""

    seq: NDArray[np.int64]
    distance: NDArray[np.float64]
    searched: int


class VectorIndex(Protocol):
    """A row for each record that is searched: its seq, id, embedding and fields. Safe to use from any thread.

    Derived from the records, which are the truth: it can always be rebuilt, and what it names is read before it is
    served. It may be behind or ahead of them for the moment of a change.
    """

    @property
    def problems(self) -> Sequence[str]:
        """What of it was found damaged when it was opened, and made anew from the records, in words."""

    def __len__(self) -> int: ...

    @property
    def last_seq(self) -> int:
        """The highest seq ever held, 0 if there was none: from there on the index catches up."""

    def add(self, records: Sequence[tuple[int, Record]]) -> None:
        """Appends (seq, record); seqs rise, also over what is there. All of them, or none if it raises."""

    def update(self, changes: Mapping[int, Fields]) -> None:
        """Replaces the user's fields of rows, by seq; a seq that is not there is fine."""

    def remove(self, seqs: Sequence[int]) -> None:
        """Drops rows; a seq that is not there is fine."""

    def search(
        self,
        queries: NDArray[np.float32],
        top_k: int,
        where: Filter,
        group_by: Literal["identity"] | None = None,
    ) -> list[Neighbours]:
        """For each of the queries (Q, D) the `top_k` nearest rows that pass the filter, by Euclidean distance.

        With `group_by`, only the nearest row of each identity counts; a row without one is a group of its own.
        `Neighbours.searched` is the number of rows that pass, grouped or not.

        Raises:
            ValueError: queries that are not finite or of another size, or `top_k` below 1.
        """

    def passing(self, where: Filter) -> NDArray[np.int64]:
        """The seqs (N,) of the rows that pass the filter, rising."""
