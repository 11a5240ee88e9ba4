"""SQLite through SQLAlchemy: what is committed survives a power cut, and readers do not wait for writers."""

import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

_BUSY_S: Final = 30


def sqlite_engine(path: Path) -> Engine:
    """Connections to a file, which is made with the first one if it is not there.

    Transactions of an engine with the execution option ``writes`` take the right to write when they begin.
    """
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": _BUSY_S})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
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
