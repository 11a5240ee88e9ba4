"""The truth about every record: one SQLite file."""

import logging
import sqlite3
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import haversine
import numpy as np

from index.filters import Filter
from index.gallery import GalleryError
from index.record import ModelKey, Record
from index.record_table import (
    COLUMNS,
    SCHEMA,
    SCHEMA_VERSION,
    DamagedRecordError,
    fields_to_row,
    record_from_row,
    record_to_row,
)

_LOG = logging.getLogger(__name__)

# Below SQLite's limit of parameters in one statement.
_IN_CHUNK: Final = 10_000


class RecordStore:
    """Records in SQLite (WAL, every commit synced). Safe to use from any thread: each call borrows a connection.

    With `may_create` off, a file without the table is an error: there have been records, and they are lost.
    """

    def __init__(self, path: Path, *, may_create: bool = True) -> None:
        self._path = path
        self._idle: deque[sqlite3.Connection] = deque()
        self._closed = False
        try:
            self._open(path, may_create)
        except GalleryError:
            self.close()
            raise
        except sqlite3.DatabaseError as error:
            self.close()
            raise GalleryError(f"{path} cannot be read as the gallery's records: {error}") from error

    def _open(self, path: Path, may_create: bool) -> None:
        with self._connection() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and not may_create:
                raise GalleryError(
                    f"there are images, but no records in {path}: restore that file, or move the folder images away"
                )
            if version == 0:
                connection.executescript(SCHEMA)
            elif version != SCHEMA_VERSION:
                raise GalleryError(
                    f"{path} has the layout {version}, this program reads {SCHEMA_VERSION}: "
                    "use the program that wrote it"
                )

    def close(self) -> None:
        """Closes every connection as soon as it is not in use; the store cannot be used afterwards."""
        self._closed = True
        with suppress(IndexError):  # another thread may be closing the last of them
            while True:
                self._idle.pop().close()

    @contextmanager
    def transaction(self) -> Iterator["Writer"]:
        """All writes inside are on disk when the block is left, or none of them if it raises."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Writer(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # SQLite has rolled back by itself if the disk is full
                    connection.execute("ROLLBACK")
                raise

    def find(
        self, where: str, parameters: Sequence[object], tail: str = "", damaged: set[int] | None = None
    ) -> Iterator[tuple[int, Record]]:
        """(seq, record) of each row that the condition selects.

        Damaged records are logged and left out; their seqs go into `damaged`, if given.
        """
        sql = f"SELECT {COLUMNS} FROM record JOIN embedding USING (seq) WHERE {where} {tail}"  # noqa: S608 (no values)
        for row in self._rows(sql, parameters):
            try:
                yield row[0], record_from_row(row)
            except DamagedRecordError as error:
                _LOG.error("%s", error)
                if damaged is not None:
                    damaged.add(row[0])

    def find_in(self, column: str, values: Sequence[object]) -> Iterator[tuple[int, Record]]:
        """(seq, record) of each row whose column has one of the values, in no particular order."""
        for chunk in _chunks(values):
            yield from self.find(f"{column} IN ({_marks(chunk)})", chunk)

    def get(self, id_: str) -> Record | None:
        """One record, or None.

        Raises:
            DamagedRecordError: it is there, and not as it was written.
        """
        sql = f"SELECT {COLUMNS} FROM record JOIN embedding USING (seq) WHERE id = ?"  # noqa: S608 (no values)
        return next((record_from_row(row) for row in self._rows(sql, [id_])), None)

    def count(self, where: Filter) -> int:
        """How many records pass the filter."""
        condition, parameters = where.where()
        return self._scalar(f"SELECT count(*) FROM record WHERE {condition}", parameters)  # noqa: S608 (no values)

    def seqs(self, where: Filter) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The seq of every record that passes the filter, (N,) int64, in no particular order."""
        condition, parameters = where.where()
        rows = self._rows(f"SELECT seq FROM record WHERE {condition}", parameters)  # noqa: S608 (no values)
        return np.fromiter((row[0] for row in rows), np.int64)

    def identities_in(self, seqs: Sequence[int]) -> dict[int, str | None]:
        """The identity of each of the rows, by seq."""
        return {row[0]: row[1] for row in self._select_in("seq, identity", "seq", seqs)}

    def num_groups(self, where: Filter) -> int:
        """How many identities pass the filter, a record without one counting as its own."""
        condition, parameters = where.where()
        sql = f"SELECT count(DISTINCT identity) + count(*) - count(identity) FROM record WHERE {condition}"  # noqa: S608
        return self._scalar(sql, parameters)

    def page(self, where: Filter, after: int, limit: int) -> list[int]:
        """The seq of the first `limit` records behind the seq `after` that pass the filter, rising."""
        condition, parameters = where.where()
        sql = f"SELECT seq FROM record WHERE {condition} AND seq > ? ORDER BY seq LIMIT ?"  # noqa: S608 (no values)
        return [row[0] for row in self._rows(sql, [*parameters, after, limit])]

    def tally(self, columns: str, limit: int) -> list[tuple[Any, ...]]:
        """Rows of (value.., count) for the columns, the most frequent first."""
        sql = f"SELECT {columns}, count(*) FROM record GROUP BY {columns} ORDER BY count(*) DESC, {columns} LIMIT ?"  # noqa: S608
        return list(self._rows(sql, [limit]))

    def seqs_in(self, column: str, values: Sequence[object]) -> list[int]:
        """The seq of each row whose column has one of the values, damaged or not."""
        return [row[0] for row in self._select_in("seq", column, values)]

    def contents_in(self, column: str, values: Sequence[object]) -> set[str]:
        """The image contents of the rows whose column has one of the values, damaged or not."""
        return {row[0] for row in self._select_in("DISTINCT content", column, values)}

    def contents(self) -> set[str]:
        """Every image content that a record names."""
        return {row[0] for row in self._rows("SELECT DISTINCT content FROM record")}

    def num_of_model(self, model: ModelKey) -> int:
        """How many records this model made."""
        sql = "SELECT count(*) FROM record WHERE fingerprint = ? AND precision = ?"
        return self._scalar(sql, [model.fingerprint, model.precision])

    def num_distinct(self, column: str) -> int:
        """How many different values a column has."""
        return self._scalar(f"SELECT count(DISTINCT {column}) FROM record")  # noqa: S608 (no values)

    def _scalar(self, sql: str, parameters: Sequence[object] = ()) -> int:
        return int(next(self._rows(sql, parameters))[0])

    def _rows(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        with self._connection() as connection, closing(connection.execute(sql, parameters)) as cursor:
            yield from cursor

    def _select_in(self, what: str, column: str, values: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        for chunk in _chunks(values):
            yield from self._rows(
                f"SELECT {what} FROM record WHERE {column} IN ({_marks(chunk)})",  # noqa: S608 (no values)
                chunk,
            )

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        if self._closed:
            raise GalleryError("the gallery is closed")
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            yield connection
        finally:
            self._give_back(connection)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        self._idle.append(connection)
        if self._closed:
            self.close()

    def _connect(self) -> sqlite3.Connection:
        # Used by one thread at a time, though not always by the same.
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=60)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.create_function("distance_m", 4, _distance_m, deterministic=True)
        return connection


class Writer:
    """The writes of one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def insert(self, record: Record) -> None:
        """Adds a record, with the next seq."""
        names = [name.strip() for name in COLUMNS.split(",")][1:-2]
        values = [*record_to_row(record), record.checksum()]
        sql = f"INSERT INTO record ({','.join(names)}) VALUES ({','.join('?' * len(names))})"  # noqa: S608 (no values)
        seq = self._connection.execute(sql, values).lastrowid
        self._connection.execute(
            "INSERT INTO embedding (seq, embedding, theta) VALUES (?, ?, ?)",
            [seq, record.embedding.astype("<f4").tobytes(), record.theta.astype("<f4").tobytes()],
        )

    def update(self, record: Record) -> None:
        """Overwrites the user's fields of the record with this id, and its checksum."""
        fields = record.fields
        self._connection.execute(
            """UPDATE record SET identity = ?, camera = ?, captured_at = ?, latitude = ?, longitude = ?, tags = ?,
            checksum = ? WHERE id = ?""",
            [*fields_to_row(fields), record.checksum(), record.id],
        )

    def delete(self, seqs: Sequence[int]) -> None:
        """Removes the records with these seqs, and their embeddings."""
        self._connection.executemany("DELETE FROM record WHERE seq = ?", [(seq,) for seq in seqs])


def _chunks(values: Sequence[object]) -> Iterator[Sequence[object]]:
    for start in range(0, len(values), _IN_CHUNK):
        yield values[start : start + _IN_CHUNK]


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _distance_m(latitude_a: float, longitude_a: float, latitude_b: float, longitude_b: float) -> float | None:
    here, there = (latitude_a, longitude_a), (latitude_b, longitude_b)
    try:
        return float(haversine.haversine(here, there, unit=haversine.Unit.METERS))
    except (TypeError, ValueError):  # a damaged record is nowhere
        return None
