"""The store of jobs of one machine: an SQLite file in the data folder."""

import logging
import sqlite3
from itertools import count
from pathlib import Path
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import DatabaseError, OperationalError

from service.jobs.job_store import JobStore
from service.jobs.job_table import METADATA
from service.sqlite_engine import sqlite_engine

_LOG = logging.getLogger(__name__)

DATABASE: Final = "jobs.sqlite"


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
    engine = sqlite_engine(path)
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


def _set_aside(path: Path) -> Path:
    target = next(aside for n in count(1) if not (aside := path.with_name(f"{path.name}.damaged-{n}")).exists())
    for suffix in ("-wal", "-shm", ""):
        file = path.with_name(path.name + suffix)
        if file.exists():
            file.replace(target.with_name(target.name + suffix))
    return target
