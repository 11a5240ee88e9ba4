"""The record stores that keep the same contract, each in a place of its own that a test may damage."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Protocol

from index.embedded.records.record_store import SqliteRecordStore
from index.gallery.record_store import RecordStore
from index.postgres.database import Database
from index.postgres.record_store import PostgresRecordStore
from tests.postgres_server import PostgresServer


class Store(RecordStore, Protocol):
    """A store that is opened by a test, and closed."""

    @property
    def damaged(self) -> set[int]: ...

    def close(self) -> None: ...


class Place(Protocol):
    """Where records are kept, whether or not a store has them open."""

    def open(self) -> Store: ...

    def damage(self, seq: int) -> None:
        """Changes a record behind the store's back."""

    def remove(self) -> None: ...


class SqlitePlace:
    def __init__(self, folder: Path) -> None:
        self._path = folder / "gallery.sqlite"

    def open(self) -> SqliteRecordStore:
        return SqliteRecordStore(self._path)

    def damage(self, seq: int) -> None:
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute("UPDATE record SET media_type = 'x' WHERE seq = ?", [seq])

    def remove(self) -> None:
        for path in self._path.parent.glob(f"{self._path.name}*"):
            path.unlink()


class PostgresPlace:
    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.url = server.create_database()

    def open(self) -> PostgresRecordStore:
        return PostgresRecordStore(Database(self.url))

    def damage(self, seq: int) -> None:
        self._server.execute("UPDATE record SET media_type = 'x' WHERE seq = %s", seq, url=self.url)

    def remove(self) -> None:
        self._server.drop_database(self.url)
