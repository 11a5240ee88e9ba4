"""Searches that come at the same time share a pass over the rows: what waits when the index is free goes together."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from index.gallery.errors import GalleryError
from index.gallery.filters import Filter
from index.gallery.vector_index import Neighbours, VectorIndex

MOST_TOGETHER: Final = 64
"""Queries in one pass."""


@dataclass(eq=False)
class _Asked:
    """A query (D,) that waits.

    Attributes:
        woken: its answer is there, or it is its thread's turn to search.
    """

    query: NDArray[np.float32]
    top_k: int
    where: Filter
    group_by: Literal["identity"] | None
    answer: "Future[Neighbours]" = field(default_factory=Future)
    woken: threading.Event = field(default_factory=threading.Event)

    def goes_with(self, other: "_Asked") -> bool:
        return (self.where, self.group_by) == (other.where, other.group_by)


class SharedSearch:
    """Searches a `VectorIndex` for many threads, one pass at a time.

    The thread that asks while nobody searches does so at once. Those that ask meanwhile wait; then the first of them
    searches for itself and for all others with the same filter and grouping, and so on. An answer is the same as if its
    query had come alone, because the index is exact.
    """

    def __init__(self, index: VectorIndex) -> None:
        self._index = index
        self._lock = threading.Lock()
        self._waiting: list[_Asked] = []
        self._somebody_searches = False
        self._closed = False
        self._index_in_use = threading.Lock()

    def search(
        self,
        query: NDArray[np.float32],
        top_k: int,
        where: Filter,
        group_by: Literal["identity"] | None = None,
    ) -> Neighbours:
        """What `VectorIndex.search` finds for one query (D,).

        Raises:
            ValueError: a query that is not finite or of another size, or `top_k` below 1.
            GalleryError: it is closed.
        """
        return self.search_many(query[None], top_k, where, group_by)[0]

    def search_many(
        self,
        queries: NDArray[np.float32],
        top_k: int,
        where: Filter,
        group_by: Literal["identity"] | None = None,
    ) -> list[Neighbours]:
        """What `VectorIndex.search` finds for each of the queries (Q, D), up to `MOST_TOGETHER` of them in one pass.

        Raises:
            ValueError, GalleryError: as `search`.
        """
        if top_k < 1:
            raise ValueError(f"top_k must be 1 or more, got {top_k}")
        all_asked = [_Asked(query, top_k, where, group_by) for query in queries]
        with self._lock:
            if self._closed:
                raise _closed()
            self._waiting += all_asked
            if all_asked and not self._somebody_searches:
                self._somebody_searches = True
                all_asked[0].woken.set()
        # They are searched for in this order: whoever's turn it is takes the first ones that wait.
        for asked in all_asked:
            asked.woken.wait()
            if not asked.answer.done():
                self._search_for_all(asked)
        return [asked.answer.result() for asked in all_asked]

    def close(self) -> None:
        """Ends the waiting with a `GalleryError` and waits for the pass that is under way."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, []
        for asked in waiting:
            asked.answer.set_exception(_closed())
            asked.woken.set()
        with self._index_in_use:
            pass

    def _search_for_all(self, first: _Asked) -> None:
        """One pass for the query that has waited longest and those that go with it; then it is the next one's turn."""
        with self._index_in_use:
            with self._lock:
                together = [asked for asked in self._waiting if asked.goes_with(first)][:MOST_TOGETHER]
                self._waiting = [asked for asked in self._waiting if asked not in together]
            try:
                self._answer(together)
            finally:
                for asked in together:
                    if not asked.answer.done():
                        asked.answer.set_exception(GalleryError("the search was interrupted: send the query again"))
                    asked.woken.set()
                with self._lock:
                    self._somebody_searches = bool(self._waiting)
                    if self._waiting:
                        self._waiting[0].woken.set()

    def _answer(self, together: Sequence[_Asked]) -> None:
        try:
            answers = self._nearest(together)
        except Exception as error:
            if len(together) == 1:
                together[0].answer.set_exception(error)
                return
            # One of them is at fault, or all of them were too much at once: each is searched for by itself.
            for asked in together:
                self._answer([asked])
            return
        for asked, nearest in zip(together, answers, strict=True):
            asked.answer.set_result(nearest)

    def _nearest(self, together: Sequence[_Asked]) -> list[Neighbours]:
        queries = np.stack([asked.query for asked in together])
        most = max(asked.top_k for asked in together)
        found = self._index.search(queries, most, together[0].where, together[0].group_by)
        return [
            Neighbours(nearest.seq[: asked.top_k], nearest.distance[: asked.top_k], nearest.searched)
            for asked, nearest in zip(together, found, strict=True)
        ]


def _closed() -> GalleryError:
    return GalleryError("the gallery is closed")
