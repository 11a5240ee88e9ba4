"""How long threads wait for locks: every `threading.Lock` that is made inside is watched."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from unittest import mock

_make_lock = threading.Lock


class Waits:
    """The longest wait for any watched lock, in seconds, by the kind of thread: its name up to the first digit."""

    def __init__(self) -> None:
        self.longest_s: dict[str, float] = defaultdict(float)

    def note(self, seconds: float) -> None:
        """The thread that calls has waited."""
        kind = threading.current_thread().name.rstrip("0123456789_-")
        if seconds > self.longest_s[kind]:
            self.longest_s[kind] = seconds


class WatchedLock:
    """A `threading.Lock` that says how long it was waited for."""

    def __init__(self, waits: Waits) -> None:
        self._lock, self._waits = _make_lock(), waits

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As a lock does."""
        if self._lock.acquire(blocking=False):
            return True
        if not blocking:
            return False
        start = time.perf_counter()
        try:
            return self._lock.acquire(timeout=timeout)
        finally:
            self._waits.note(time.perf_counter() - start)

    def release(self) -> None:
        """As a lock does."""
        self._lock.release()

    def locked(self) -> bool:
        """As a lock does."""
        return self._lock.locked()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


@contextmanager
def watched_locks() -> Iterator[Waits]:
    """Watches the locks that are made in the block, also after it."""
    waits = Waits()
    with mock.patch("threading.Lock", partial(WatchedLock, waits)):
        yield waits
