"""The threads that do what would keep the event loop from answering: decoding, searching, reading, writing, drawing."""

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Final, ParamSpec, TypeVar

from index.gallery.shared_search import MOST_TOGETHER
from model.cores import usable_cores

_MAX_RETRY_AFTER_S: Final = 60
_MAX_DRAWING: Final = 256
_MAX_READING: Final = 1024
_MAX_WRITING: Final = 1024
_MAX_SCRAPING: Final = 16

P = ParamSpec("P")
T = TypeVar("T")


class BusyError(Exception):
    """So much work of this kind waits that no more is taken; there is room again in about `retry_after_s` seconds."""

    def __init__(self, kind: str, limit: int, retry_after_s: int) -> None:
        super().__init__(
            f"{limit} requests to {kind} are under way, as many as the service takes: "
            f"nothing was done; send the request again in {retry_after_s} s"
        )
        self.retry_after_s = retry_after_s


class Pool(ThreadPoolExecutor):
    """The threads of one kind of work, and how much of it may be under way.

    Without a `limit` it takes all: the requests are then counted elsewhere, by the worker's admission.

    Attributes:
        kind: of its work.
        num_under_way: calls that are at work or wait for a thread.
    """

    def __init__(self, kind: str, num_threads: int, limit: int | None = None) -> None:
        super().__init__(num_threads, kind)
        self.kind = kind
        self._num_threads = num_threads
        self._limit = limit
        self.num_under_way = 0  # changed by the event loop's thread alone
        self._seconds_per_call = 0.1  # until the first call was timed

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As of any executor; what the work logs names the request that it is done for."""
        return super().submit(copy_context().run, partial(work, *args, **kwargs))

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work` returns or raises, in one of the threads; dropped if the caller is cancelled while it waits.

        Raises:
            BusyError: as much as the limit allows is under way already.
        """
        if self._limit is not None and self.num_under_way >= self._limit:
            seconds = math.ceil(self.num_under_way * self._seconds_per_call / self._num_threads)
            raise BusyError(self.kind, self._limit, min(max(seconds, 1), _MAX_RETRY_AFTER_S))
        self.num_under_way += 1
        try:
            result, seconds_taken = await asyncio.wrap_future(self.submit(_timed, partial(work, *args, **kwargs)))
        finally:
            self.num_under_way -= 1
        self._seconds_per_call = 0.8 * self._seconds_per_call + 0.2 * seconds_taken
        return result


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    """What `work` returns, and the seconds that it took."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


class Pools:
    """One pool for each kind of work, so that none of it waits behind all of another.

    Uploads have threads of their own besides: those that the framework writes large files to the disk with, and that
    nothing else uses.

    Attributes:
        decode_query, decode_enrol: decoding, cutting, resizing and drawing the images of queries and enrolments.
        search: searching the gallery, as many threads as it searches for in one pass: they wait for it together, and
            read the records that it names.
        read: records, pages and counts.
        write: enrolling, changing and deleting; one thread, because the gallery takes one write at a time.
        draw: images of records.
        scrape: what `GET /metrics` reads; a thread of its own, because it is asked when all else is busy.
        all: every one of them.
    """

    def __init__(self) -> None:
        cores = usable_cores()
        self.decode_query = Pool("decode-query", cores)
        self.decode_enrol = Pool("decode-enrol", cores)
        self.search = Pool("search", MOST_TOGETHER)
        self.read = Pool("read", 4, _MAX_READING)
        self.write = Pool("write", 1, _MAX_WRITING)
        self.draw = Pool("draw", cores, _MAX_DRAWING)
        self.scrape = Pool("scrape", 1, _MAX_SCRAPING)
        self.all: Final = (
            self.decode_query,
            self.decode_enrol,
            self.search,
            self.read,
            self.write,
            self.draw,
            self.scrape,
        )

    def close(self) -> None:
        """Waits for what is under way and drops what waits: nobody is left to answer."""
        for pool in self.all:
            pool.shutdown(cancel_futures=True)
