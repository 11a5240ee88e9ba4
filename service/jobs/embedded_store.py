"""The store of jobs of one machine: an SQLite file in the data folder."""

import logging
import sqlite3
from itertools import count
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from service.jobs.job_store import JobStore
from service.jobs.job_table import METADATA

_LOG = logging.getLogger(__name__)

DATABASE: Final = "jobs.sqlite"

_BUSY_S: Final = 30


def open_job_store(data_dir: Path) -> JobStore:
    """Opens or creates the store in a data folder that this process owns.

    A file that is no database any more is set aside: jobs can be given again, and queries do not wait for them.

    Raises:
        OSError: it cannot be read or written.
    """
    path = data_dir / DATABASE
    try:
        return JobStore(_open(path))
    except OperationalError as error:
        raise OSError(f"{path} cannot be read or written: {error.orig}") from error
    except DatabaseError as error:
        aside = _set_aside(path)
        _LOG.error("%s is damaged (%s): it was moved to %s, and its jobs are gone", path, error.orig, aside)
        return JobStore(_open(path))


def _open(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": _BUSY_S})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    try:
        with engine.connect() as connection:
            (found,) = connection.exec_driver_sql("PRAGMA quick_check(1)").one()
            if found != "ok":
                raise DatabaseError("PRAGMA quick_check", None, sqlite3.DatabaseError(found))
        METADATA.create_all(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _configure(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    """What holds for every connection: an answered request survives a power cut, and readers do not wait."""
    connection.isolation_level = None  # `_begin` begins transactions
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Any) -> None:
    """Transactions take the right to write at once where they will need it: one that reads first could not get it."""
    immediate = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _set_aside(path: Path) -> Path:
    target = next(aside for n in count(1) if not (aside := path.with_name(f"{path.name}.damaged-{n}")).exists())
    for suffix in ("-wal", "-shm", ""):
        file = path.with_name(path.name + suffix)
        if file.exists():
            file.replace(target.with_name(target.name + suffix))
    return target
