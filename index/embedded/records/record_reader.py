"""Reads the records of a database that a service may be writing at the same time, and never changes it."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

from index.embedded.disk import disk_errors
from index.embedded.records.lenient_text import LENIENT_TEXT
from index.embedded.records.record_table import COLUMNS, SCHEMA_VERSION
from index.gallery.errors import DamagedRecordError, GalleryError
from index.gallery.record import ModelKey, Record
from index.gallery.record_row import record_from_row
from index.gallery.verification import RowDescription

# What layout 1 has in the place of the columns that came with layout 2.
_COLUMNS: Final = {1: COLUMNS.replace("source, attributes", "NULL, '{}'"), 2: COLUMNS, SCHEMA_VERSION: COLUMNS}


class RecordReader:
    """The records of one SQLite file, of this program's layout or an older one; for one thread at a time.

    It needs no lock: SQLite lets readers see the last commit. Implements `index.gallery.verification.VerifiedRecords`.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file.

        Raises:
            GalleryError: there is none, it cannot be read, or it has a layout that this program does not know.
        """
        if not path.is_file():
            raise GalleryError(f"{path} is missing: restore it from a backup")
        self._path = path
        with ExitStack() as failed:
            with disk_errors(path):
                self.connection = _connect(path)
                failed.callback(self.connection.close)
                self.layout = int(self.connection.execute("PRAGMA user_version").fetchone()[0])
            if self.layout not in _COLUMNS:
                raise GalleryError(
                    f"{path} has the layout {self.layout}, this program reads 1 to {SCHEMA_VERSION}: "
                    "use the program that wrote it"
                )
            failed.pop_all()
        self._select = f"SELECT {_COLUMNS[self.layout]} FROM record NOT INDEXED LEFT JOIN embedding USING (seq)"  # noqa: S608

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; the reader cannot be used afterwards."""
        self.connection.close()

    def num_records(self) -> int:
        """How many there are, damaged or not."""
        return int(self._rows("SELECT count(*) FROM record NOT INDEXED")[0][0])

    def num_images(self) -> int:
        """How many different images they name."""
        return int(self._rows("SELECT count(DISTINCT content) FROM record NOT INDEXED")[0][0])

    def models(self) -> list[tuple[ModelKey, int]]:
        """Each model with the number of its records, the most frequent first."""
        rows = self._rows(
            "SELECT fingerprint, precision, count(*) FROM record NOT INDEXED GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
        )
        return [(ModelKey(fingerprint, precision), number) for fingerprint, precision, number in rows]

    def has_record_of(self, model: ModelKey) -> bool:
        """Whether a model has embedded any."""
        sql = "SELECT EXISTS (SELECT 1 FROM record WHERE fingerprint = ? AND precision = ?)"
        return bool(self._rows(sql, (model.fingerprint, model.precision))[0][0])

    def seqs_after(self, seq: int, limit: int) -> list[int]:
        """The first `limit` seqs behind a seq, rising, of records damaged or not."""
        sql = "SELECT seq FROM record NOT INDEXED WHERE seq > ? ORDER BY seq LIMIT ?"
        return [row[0] for row in self._rows(sql, [seq, limit])]

    def records_at(self, seqs: Sequence[int]) -> dict[int, Record]:
        """By seq, the intact records that are there."""
        records: dict[int, Record] = {}
        for row in self._rows_at(seqs):
            try:
                records[row[0]] = record_from_row(row)
            except DamagedRecordError:
                continue
        return records

    def describe(self, seqs: Sequence[int]) -> dict[int, RowDescription]:
        """By seq, what the rows that are there say, damaged or not."""
        return {row[0]: _describe(row) for row in self._rows_at(seqs)}

    def walk(self) -> Iterator[tuple[int, Record | RowDescription]]:
        """Every record in the order of enrolment, as they were at the first; of a damaged one what its row says."""
        with disk_errors(self._path), closing(self.connection.execute(f"{self._select} ORDER BY seq")) as cursor:
            for row in cursor:
                try:
                    yield row[0], record_from_row(row)
                except DamagedRecordError:
                    yield row[0], _describe(row)

    def contents(self) -> Iterator[str]:
        """Every image that a record names, by its content, rising, as they were at the first."""
        sql = "SELECT DISTINCT content FROM record NOT INDEXED ORDER BY content"
        with disk_errors(self._path), closing(self.connection.execute(sql)) as cursor:
            for (content,) in cursor:
                yield content

    def back_up(self, target: sqlite3.Connection, progress: Callable[[int, int], None]) -> None:
        """Copies the database, as it is at this moment, into another; `progress` is told pages done and in all.

        What was deleted is not in the copy, whether or not it could still be brought back: its images are not either.
        """
        # Within one transaction: otherwise whatever is written meanwhile would make it begin again.
        with self.frozen(), disk_errors(self._path):
            self.connection.backup(
                target, pages=1024, progress=lambda _, remaining, total: progress(total - remaining, total)
            )
        if self.layout > 2:
            for table in ("deleted_embedding", "deleted_record", "deletion"):
                target.execute(f"DELETE FROM {table}")  # noqa: S608 (no values)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Everything that is read in the block is of one moment."""
        with disk_errors(self._path):
            self.connection.execute("BEGIN")
            self.connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
        try:
            yield
        finally:
            self.connection.execute("ROLLBACK")

    def _rows_at(self, seqs: Sequence[int]) -> Iterator[tuple[Any, ...]]:
        remaining = iter(seqs)
        while chunk := list(islice(remaining, 10_000)):
            yield from self._rows(f"{self._select} WHERE seq IN ({','.join('?' * len(chunk))}) ORDER BY seq", chunk)

    def _rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with disk_errors(self._path):
            return self.connection.execute(sql, parameters).fetchall()


def _connect(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing.

    The last connection that is closed brings the write-ahead log into the database. One that may only read cannot: it
    leaves the log of a service that was killed as it is. But where there is no log, it would leave an empty one.
    """
    log = path.with_name(f"{path.name}-wal")
    mode = "ro" if log.exists() and log.stat().st_size else "rw"
    # Progress in one thread, reads in another, but never at the same time.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False, timeout=60
    )
    connection.execute("PRAGMA query_only = ON")
    # A byte that the disk changed may make a text invalid; the checksum tells.
    connection.text_factory = LENIENT_TEXT
    return connection


def _describe(row: tuple[Any, ...]) -> RowDescription:
    values = dict(zip((name.strip() for name in COLUMNS.split(",")), row, strict=True))
    if values["embedding"] is None:
        problem: str | None = "its embedding is lost"
    else:
        try:
            record_from_row(row)
            problem = None
        except DamagedRecordError as error:
            problem = str(error)
    source = None if values["source"] is None else str(values["source"])
    return RowDescription(str(values["id"]), str(values["content"]), str(values["box"]), source, problem)
