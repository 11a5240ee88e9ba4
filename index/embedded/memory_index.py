"""The vector index of one process: all rows in memory, searched exactly."""

import threading
from collections.abc import Callable, Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from index.embedded.exact_search import ExactSearch
from index.gallery.fields import Fields
from index.gallery.filters import Filter
from index.gallery.record import Record
from index.gallery.vector_index import Neighbours

_NO_IDENTITY: Final = -1
# How many times as many rows are asked for where those of a step belong to too few identities.
_GROWTH: Final = 4


class MemoryIndex:
    """Implements `index.gallery.vector_index.VectorIndex`; searches and changes wait for each other.

    Of the fields it keeps each row's identity, as a code: equal codes are equal identities. A code stays when the last
    row of its identity goes.
    """

    def __init__(self, dim: int, seqs_passing: Callable[[Filter], NDArray[np.int64]]) -> None:
        """An empty index of embeddings (D,); `seqs_passing` gives the seqs (N,) of the records that pass a filter."""
        self._rows = ExactSearch(dim)
        self._seqs_passing = seqs_passing
        self._lock = threading.Lock()
        self._codes: dict[str, int] = {}
        self._seq = np.empty(0, np.int64)
        self._identity = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def last_seq(self) -> int:
        return self._rows.last_seq

    def add(self, records: Sequence[tuple[int, Record]]) -> None:
        if not records:
            return
        seqs = [seq for seq, _ in records]
        with self._lock:
            identities = [self._code(record.fields.identity) for _, record in records]
            # All that may fail for want of memory comes before the first change.
            grown = np.append(self._seq, seqs), np.append(self._identity, identities)
            self._rows.add(
                np.stack([record.embedding for _, record in records]), seqs, [record.id for _, record in records]
            )
            self._seq, self._identity = grown

    def update(self, seq: int, fields: Fields) -> None:
        with self._lock:
            self._identity[self._seq == seq] = self._code(fields.identity)

    def remove(self, seqs: Sequence[int]) -> None:
        if not seqs:
            return
        with self._lock:
            kept = ~np.isin(self._seq, seqs)
            shrunk = self._seq[kept], self._identity[kept]
            self._rows.remove(list(seqs))
            self._seq, self._identity = shrunk

    def search(
        self,
        queries: NDArray[np.float32],
        top_k: int,
        where: Filter,
        group_by: Literal["identity"] | None = None,
    ) -> list[Neighbours]:
        seqs = None if where == Filter() else self._seqs_passing(where)
        if group_by is None:
            return [self._rows.search(query, top_k, seqs) for query in queries]
        with self._lock:
            num_groups = self._num_groups(seqs)
            return [self._nearest_groups(query, top_k, seqs, num_groups) for query in queries]

    def _num_groups(self, seqs: NDArray[np.int64] | None) -> int:
        """How many identities these rows have (all if None); a row without one counts as its own."""
        identities = self._identity if seqs is None else self._identity[np.isin(self._seq, seqs)]
        named = identities[identities != _NO_IDENTITY]
        return int(np.count_nonzero(np.bincount(named))) + len(identities) - len(named)

    def _nearest_groups(
        self, query: NDArray[np.float32], top_k: int, seqs: NDArray[np.int64] | None, num_groups: int
    ) -> Neighbours:
        num_asked = top_k
        while True:
            nearest = self._rows.search(query, num_asked, seqs)
            first = _first_of_each(self._identity[np.searchsorted(self._seq, nearest.seq)])
            if len(first) >= min(top_k, num_groups):
                first = first[:top_k]
                return Neighbours(nearest.seq[first], nearest.distance[first], nearest.searched)
            num_asked *= _GROWTH

    def _code(self, identity: str | None) -> int:
        return _NO_IDENTITY if identity is None else self._codes.setdefault(identity, len(self._codes))


def _first_of_each(identities: NDArray[np.int64]) -> NDArray[np.int64]:
    """The position of the first of each identity, and of each without one, rising."""
    positions = np.arange(len(identities))
    groups = np.where(identities == _NO_IDENTITY, -1 - positions, identities)
    _, first = np.unique(groups, return_index=True)
    return np.sort(first)
