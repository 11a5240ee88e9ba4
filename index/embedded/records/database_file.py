"""A SQLite database that is made beside another one: whole and on disk, or not there at all."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def new_database(path: Path) -> Iterator[sqlite3.Connection]:
    """A new file over what an interrupted one left: one file, without a log, on disk after the block.

    If the block raises, it is gone.
    """
    remove_database(path)
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            yield connection
            # One file, without a write-ahead log beside it.
            connection.execute("PRAGMA journal_mode = DELETE")
        with path.open("rb") as file:
            os.fsync(file.fileno())
    except BaseException:
        remove_database(path)
        raise


def remove_database(path: Path) -> None:
    """Removes a database and its logs; what is not there is fine."""
    for ending in ("", "-journal", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
