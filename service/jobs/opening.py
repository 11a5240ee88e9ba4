"""Opens the store of jobs: an SQLite file in the data folder, or tables of a database that services share."""

import logging
import sqlite3
from itertools import count
from pathlib import Path
from typing import Final

from sqlalchemy.exc import DatabaseError, OperationalError

from service.jobs.job_store import JobStore
from service.jobs.job_table import METADATA
from service.tables import Tables

_LOG = logging.getLogger(__name__)

DATABASE: Final = "jobs.sqlite"


def open_job_store(data_dir: Path, database: str | None = None) -> JobStore:
    """Opens or creates the store in a data folder that this process owns, or in a database if there is one.

    A file that is no database any more is set aside: jobs can be given again, and queries do not wait for them.

    Raises:
        OSError: it cannot be read or written.
    """
    path = data_dir / DATABASE
    tables = Tables.open(path, database)
    try:
        return JobStore(_prepared(tables))
    except OperationalError as error:
        raise OSError(f"{tables.place} cannot be read or written: {tables.message(error.orig)}") from error
    except DatabaseError as error:
        if tables.is_shared:
            raise OSError(f"{tables.place} cannot be read or written: {tables.message(error.orig)}") from error
        aside = _set_aside(path)
        _LOG.error("%s is damaged (%s): it was moved to %s, and its jobs are gone", path, error.orig, aside)
        return JobStore(_prepared(Tables.open(path, None)))


def _prepared(tables: Tables) -> Tables:
    """The same, with all tables that are needed."""
    try:
        if not tables.is_shared:
            _check_file(tables)
        tables.create(METADATA)
    except BaseException:
        tables.close()
        raise
    return tables


def _check_file(tables: Tables) -> None:
    with tables.engine.connect() as connection:
        (found,) = connection.exec_driver_sql("PRAGMA quick_check(1)").one()
    if found != "ok":
        raise DatabaseError("PRAGMA quick_check", None, sqlite3.DatabaseError(found))


def _set_aside(path: Path) -> Path:
    target = next(aside for n in count(1) if not (aside := path.with_name(f"{path.name}.damaged-{n}")).exists())
    for suffix in ("-wal", "-shm", ""):
        file = path.with_name(path.name + suffix)
        if file.exists():
            file.replace(target.with_name(target.name + suffix))
    return target
