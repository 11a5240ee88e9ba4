"""One write at a time, until the gallery is replaced: then none."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from index.gallery.errors import ReplacedError


class WriteLock(Protocol):
    """Held in a ``with`` block, by one thread of all that write to the gallery; a thread does not take it twice.

    Whoever holds it reads what the write before has committed, and nobody else writes until it is given back: so a
    policy may read, decide and write in several steps.
    """

    def acquire(self) -> None:
        """Waits for the write that is under way.

        Raises:
            ReplacedError: nothing is to be written here any more.
            GalleryError: it cannot be had.
        """

    def release(self) -> None:
        """The next write may begin."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def even_if_replaced(self) -> AbstractContextManager[None]:
        """Holds it, in this process, for what is no write of records."""

    def set_replaced(self) -> None:
        """For who holds it: whoever waits for it now, or asks for it later, is refused."""


class ThreadWriteLock:
    """Implements `WriteLock` where one process alone has the gallery open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_replaced = False

    def acquire(self) -> None:
        """Waits for the write that is under way.

        Raises:
            ReplacedError: nothing is to be written here any more.
        """
        self._lock.acquire()
        if self._is_replaced:
            self._lock.release()
            raise ReplacedError

    def release(self) -> None:
        """The next write may begin."""
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    @contextmanager
    def even_if_replaced(self) -> Iterator[None]:
        """Holds it for what is no write of records."""
        with self._lock:
            yield

    def set_replaced(self) -> None:
        """For who holds it: whoever waits for it now, or asks for it later, is refused."""
        self._is_replaced = True
