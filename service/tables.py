"""Where the service keeps tables of its own: an SQLite file each, or one PostgreSQL database that replicas share."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Engine, MetaData, event

from index.postgres.database import Database
from service.sqlite_engine import sqlite_engine

# Of each of the tables' owners: jobs, audit, keys.
_POOL_SIZE = 5


@dataclass(frozen=True)
class Tables:
    """Connections to where the tables are.

    Attributes:
        engine: transactions of one with the execution option ``writes`` take turns, whoever begins them: what one has
            read cannot have changed when it writes.
        place: where they are, in words; nothing of it is secret.
        message: what the database says of an error, without secrets.
    """

    engine: Engine
    place: str
    message: Callable[[Any], str] = str

    @classmethod
    def open(cls, path: Path, database: str | None) -> Self:
        """Of the database at this address, or of a file if there is none; nothing is connected to or made yet.

        Raises:
            ValueError: the address is none of PostgreSQL.
        """
        if database is None:
            return cls(sqlite_engine(path), str(path))
        shared = Database(database, _POOL_SIZE)
        event.listen(shared.engine, "begin", partial(_begin, zlib.crc32(path.stem.encode())))
        return cls(shared.engine, shared.name, shared.message)

    @property
    def writing(self) -> Engine:
        """The same connections, for transactions that write."""
        return self.engine.execution_options(writes=True)

    @property
    def is_shared(self) -> bool:
        """Whether other processes may use them at the same time."""
        return self.engine.dialect.name != "sqlite"

    def create(self, metadata: MetaData) -> None:
        """Makes the tables that are not there."""
        with self.writing.begin() as connection:
            metadata.create_all(connection)

    def close(self) -> None:
        """Releases the connections; a later use would open them again."""
        self.engine.dispose()


def _begin(key: int, connection: Any) -> None:
    """Those that write wait here for each other, as those of an SQLite file do."""
    if connection.get_execution_options().get("writes", False):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({key})")
