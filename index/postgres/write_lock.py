"""The lock of all processes that write to one gallery: an advisory lock of its database, held by one connection."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DBAPIError

from index.gallery.errors import GalleryUnavailableError
from index.gallery.write_lock import ThreadWriteLock
from index.postgres.database import Database

_LOG = logging.getLogger(__name__)

# "SANet", so that no other program of the database takes it by chance.
_KEY: Final = 0x53414E6574


class PostgresWriteLock:
    """Implements `index.gallery.write_lock.WriteLock` for all processes that have the database open.

    The database gives the lock back when the connection that holds it ends, however that comes about. Its holder
    writes through this very connection: one that lost the lock can write nothing that it decided under it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # One thread of this process at a time asks the database, so that those that wait need no connection each.
        self._threads = ThreadWriteLock()
        self._holder: int | None = None
        self._held: Connection | None = None

    def acquire(self) -> None:
        """Waits for the write that is under way, here or in another process.

        Raises:
            ReplacedError: nothing is to be written here any more.
            GalleryUnavailableError: the database is away, or another process has written for over a minute.
        """
        self._threads.acquire()
        try:
            self._held = self._take()
        except BaseException:
            self._threads.release()
            raise
        self._holder = threading.get_ident()

    def release(self) -> None:
        """The next write may begin."""
        held, self._held, self._holder = self._held, None, None
        try:
            if held is not None:
                _give_back(held)
        finally:
            self._threads.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    @contextmanager
    def even_if_replaced(self) -> Iterator[None]:
        """Holds it, in this process, for what is no write of records; also while the database is away."""
        with self._threads.even_if_replaced():
            yield

    def set_replaced(self) -> None:
        """For who holds it: whoever waits for it in this process now, or asks for it later, is refused."""
        self._threads.set_replaced()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """The connection that holds the lock: the one of this thread, or one that takes it for the block.

        Raises:
            GalleryUnavailableError: this thread has lost the lock together with its connection.
        """
        if self._holder != threading.get_ident():
            with self, self.connection() as connection:
                yield connection
            return
        if self._held is None or self._held.invalidated:
            raise GalleryUnavailableError(
                self._database.name, "the connection was lost, and others may have written since; nothing was stored"
            )
        yield self._held

    def _take(self) -> Connection:
        with self._database.errors():
            connection = self._database.connect()
            try:
                connection.execute(select(func.pg_advisory_lock(_KEY)))
                connection.commit()
            except BaseException:
                _end(connection)  # whether it has the lock is not known
                raise
            return connection


def _give_back(connection: Connection) -> None:
    try:
        if connection.invalidated or not connection.scalar(select(func.pg_advisory_unlock(_KEY))):
            _LOG.warning("the connection that held the lock of the gallery was lost during a write")
            _end(connection)
            return
        connection.commit()
        connection.close()
    except DBAPIError as error:
        _LOG.warning("the lock of the gallery ends with its connection, which was lost: %s", error.orig)
        _end(connection)


def _end(connection: Connection) -> None:
    """Closes the session itself, and with it whatever it holds."""
    connection.invalidate()
    connection.close()
