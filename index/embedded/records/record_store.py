"""The truth about every record: one SQLite file."""

import json
import logging
import sqlite3
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from index.embedded.disk import disk_errors
from index.embedded.logged_step import logged_step
from index.embedded.records.database_check import log_problem
from index.embedded.records.filter_sql import distance_m_or_null, sql_condition, sql_expired
from index.embedded.records.index_repair import repair_indexes
from index.embedded.records.lenient_text import LENIENT_TEXT
from index.embedded.records.migration import OLDER_LAYOUTS, migrate
from index.embedded.records.record_table import ROW_COLUMNS, SCHEMA, SCHEMA_VERSION, SELECT
from index.embedded.records.record_writer import SqliteWriter, transaction
from index.gallery.errors import DamagedRecordError, GalleryError
from index.gallery.filters import Filter
from index.gallery.record import ModelKey, Record, record_id
from index.gallery.record_row import index_row, record_from_row
from index.gallery.record_store import Deletion, Row, Tallies
from index.gallery.retention import Expired, ExpiredRecord
from index.gallery.timestamp import time_of
from model.box import Box, BoxError

_LOG = logging.getLogger(__name__)

# Below SQLite's limit of parameters in one statement.
_IN_CHUNK: Final = 10_000


class SqliteRecordStore:
    """Implements `index.gallery.record_store.RecordStore` in a SQLite file (WAL, every commit synced).

    Safe to use from any thread: each call borrows a connection.

    With `may_create` off, a file without the table is an error: there have been records, and they are lost.

    What decides whether a file goes for good, or which records a filter deletes, is read from the table itself (NOT
    INDEXED): an index of SQLite's that the disk has damaged would lie about it. What goes to the trash comes back as
    soon as a record lacks it, so there the index decides: a million records would take a quarter of a second to read.

    Attributes:
        damaged: the seqs of the records that were found damaged so far and not deleted since, each logged once.
    """

    def __init__(self, path: Path, *, may_create: bool = True, checks_indexes: bool = True) -> None:
        """Opens, creates or migrates the file; its indexes are checked, unless the caller does it: `repair_indexes`.

        Raises:
            GalleryError: it cannot be read, or another program wrote it, or there is none and `may_create` is off.
        """
        self._path = path
        self._idle: deque[sqlite3.Connection] = deque()
        self._closed = False
        self.damaged: set[int] = set()
        # Another object after each transaction; and the last tallies, with what it was before they were read.
        self._state = object()
        self._tallied: tuple[object, int, Tallies] | None = None
        try:
            with disk_errors(path):
                self._open(path, may_create)
            if checks_indexes:
                self.repair_indexes()
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path, may_create: bool) -> None:
        # SQLite overlooks in silence the commits of a log that the disk has damaged, and no checksum would miss them.
        if problem := log_problem(path):
            _LOG.error("%s: %s; what was enrolled, changed or deleted last may be undone", path, problem)
        with self._connection() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and not may_create:
                raise GalleryError(
                    f"there are images, but no records in {path}: restore that file, with its -wal if it had one, "
                    "or move the folder images away"
                )
            if version == 0:
                connection.executescript(SCHEMA)
            elif version in OLDER_LAYOUTS:
                with logged_step("migration"):
                    migrate(connection, path, version)
            elif version != SCHEMA_VERSION:
                raise GalleryError(
                    f"{path} has the layout {version}, this program reads {SCHEMA_VERSION}: "
                    "use the program that wrote it"
                )

    def repair_indexes(self) -> None:
        """Rebuilds the indexes that contradict the records. Until it has returned, ask for nothing by an index."""
        with self._connection() as connection:
            repair_indexes(connection, self._path)

    def close(self) -> None:
        """Closes every connection as soon as it is not in use; the store cannot be used afterwards."""
        self._closed = True
        with suppress(IndexError):  # another thread may be closing the last of them
            while True:
                self._idle.pop().close()

    @property
    def num_damaged(self) -> int:
        return len(self.damaged)

    @property
    def last_seq(self) -> int:
        return self._scalar("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'record'")

    @contextmanager
    def transaction(self) -> Iterator[SqliteWriter]:
        try:
            with self._connection() as connection, transaction(connection) as writer:
                yield writer
        finally:
            self._state = object()
        self.damaged -= writer.deleted

    def get(self, id_: str) -> Record | None:
        for row in self._rows(f"{SELECT} WHERE id = ?", [id_]):
            try:
                return record_from_row(row)
            except DamagedRecordError as error:
                self._note_damage(row[0], error)
                raise
        return None

    def records_of(self, ids: Sequence[str]) -> list[Record]:
        return [record for _, record in self._find_in("id", ids)]

    def records_at(self, seqs: Sequence[int]) -> dict[int, Record]:
        return dict(self._find_in("seq", seqs))

    def records_after(self, seq: int, model: ModelKey) -> Iterator[tuple[int, Record]]:
        """(seq, record) of the intact records of a model behind a seq, rising.

        Raises:
            GalleryError: the disk changed their order.
        """
        condition = "fingerprint = ? AND precision = ? AND seq > ?"
        parameters = [model.fingerprint, model.precision, seq]
        for found, record in self._find(condition, parameters, "ORDER BY seq"):
            _require_order(seq, found)
            yield found, record
            seq = found

    def rows_after(self, seq: int, model: ModelKey) -> Iterator[Row]:
        """The records of a model behind a seq, rising, without their embeddings.

        Raises:
            GalleryError: the disk changed their order.
        """
        # The table itself in its order, of which nearly all is wanted: by an index each record would be looked up.
        condition = "seq > ? AND fingerprint = ? AND precision = ?"
        sql = f"SELECT {ROW_COLUMNS} FROM record NOT INDEXED WHERE {condition} ORDER BY seq"  # noqa: S608 (no values)
        for values in self._rows(sql, [seq, model.fingerprint, model.precision]):
            _require_order(seq, values[0])
            seq = values[0]
            try:
                row = index_row(values)
            except DamagedRecordError as error:
                self._note_damage(seq, error)
            else:
                yield row

    def count(self) -> int:
        return self._scalar("SELECT count(*) FROM record")

    def unsearched(self, where: Filter, model: ModelKey) -> list[int]:
        condition, parameters = sql_condition(where)
        fingerprint, precision = model.fingerprint, model.precision
        # Ranges of the index, because SQLite would read every record for <>: usually no other model made one.
        others: list[tuple[str, list[object]]] = [
            ("INDEXED BY record_model WHERE fingerprint < ?", [fingerprint]),
            ("INDEXED BY record_model WHERE fingerprint > ?", [fingerprint]),
            ("INDEXED BY record_model WHERE fingerprint = ? AND precision < ?", [fingerprint, precision]),
            ("INDEXED BY record_model WHERE fingerprint = ? AND precision > ?", [fingerprint, precision]),
            ("WHERE seq IN (SELECT value FROM json_each(?))", [_json(self.damaged)]),
        ]
        seqs: set[int] = set()
        for those, values in others:
            sql = f"SELECT seq FROM record {those} AND {condition}"  # noqa: S608 (no values)
            seqs.update(row[0] for row in self._rows(sql, [*values, *parameters]))
        return sorted(seqs)

    def tallies(self, limit: int) -> Tallies:
        """Counts over all records, read anew only if a transaction has ended since they were read."""
        state, tallied = self._state, self._tallied
        if tallied is not None and tallied[:2] == (state, limit):
            return tallied[2]
        tallies = Tallies(
            num_images=self._num_distinct("content"),
            num_cameras=self._num_distinct("camera"),
            num_identities=self._num_distinct("identity"),
            cameras=self._tally("camera", limit),
            identities=self._tally("identity", limit),
            models=self._tally("fingerprint, precision", limit=100),
        )
        self._tallied = (state, limit, tallies)
        return tallies

    def seqs_of(self, ids: Sequence[str]) -> list[int]:
        return [row[0] for row in self._select_in("seq", "id", ids)]

    def contents(self) -> set[str]:
        return {row[0] for row in self._rows("SELECT DISTINCT content FROM record NOT INDEXED")}

    def named(self, contents: Collection[str]) -> set[str]:
        sql = "SELECT DISTINCT content FROM record WHERE content IN (SELECT value FROM json_each(?))"
        named = {row[0] for row in self._rows(sql, [_json(contents)])}
        for id_, box in self._select_in("id, box", "seq", list(self.damaged)):
            with suppress(BoxError):
                named |= {content for content in contents if record_id(content, Box.parse(box)) == id_}
        return named

    def contents_of(self, id_: str) -> dict[int, str]:
        return dict(self._rows("SELECT seq, content FROM record WHERE id = ?", [id_]))

    def contents_passing(self, where: Filter) -> dict[int, str]:
        condition, parameters = sql_condition(where)
        return dict(self._rows(f"SELECT seq, content FROM record NOT INDEXED WHERE {condition}", parameters))  # noqa: S608

    def expired(self, expired: Expired, after: int, limit: int) -> list[ExpiredRecord]:
        condition, parameters = sql_expired(expired)
        sql = f"SELECT seq, id, content FROM record NOT INDEXED WHERE seq > ? AND {condition} ORDER BY seq LIMIT ?"  # noqa: S608
        return [ExpiredRecord(*row) for row in self._rows(sql, [after, *parameters, limit])]

    def count_expired(self, expired: Expired) -> dict[str | None, int]:
        condition, parameters = sql_expired(expired)
        sql = f"SELECT camera, count(*) FROM record NOT INDEXED WHERE {condition} GROUP BY camera"  # noqa: S608
        return dict(self._rows(sql, parameters))

    def doubtful_contents(self) -> set[str]:
        return {row[0] for row in self._select_in("content", "seq", list(self.damaged))}

    def deletions(self) -> list[Deletion]:
        columns = "id, deleted_at, undo_until, num_records, undone"
        return [
            Deletion(id_, time_of(deleted_at), time_of(undo_until), num_records, bool(undone))
            for id_, deleted_at, undo_until, num_records, undone in self._rows(
                f"SELECT {columns} FROM deletion ORDER BY number DESC"  # noqa: S608 (no values)
            )
        ]

    def deleted_contents(self, deletion_id: str | None = None) -> set[str]:
        sql = "SELECT DISTINCT content FROM deleted_record WHERE ? IN (deletion, '')"
        return {row[0] for row in self._rows(sql, [deletion_id or ""])}

    def num_of_model(self, model: ModelKey) -> int:
        sql = "SELECT count(*) FROM record WHERE fingerprint = ? AND precision = ?"
        return self._scalar(sql, [model.fingerprint, model.precision])

    def _num_distinct(self, column: str) -> int:
        return self._scalar(f"SELECT count(DISTINCT {column}) FROM record")  # noqa: S608 (no values)

    def _tally(self, columns: str, limit: int) -> list[tuple[Any, ...]]:
        """Rows of (value.., count) for the columns, the most frequent first."""
        sql = f"SELECT {columns}, count(*) FROM record GROUP BY {columns} ORDER BY count(*) DESC, {columns} LIMIT ?"  # noqa: S608
        return list(self._rows(sql, [limit]))

    def _find(self, condition: str, parameters: Sequence[object], tail: str = "") -> Iterator[tuple[int, Record]]:
        """(seq, record) of each row that the condition selects; damaged records are left out."""
        for row in self._rows(f"{SELECT} WHERE {condition} {tail}", parameters):
            try:
                yield row[0], record_from_row(row)
            except DamagedRecordError as error:
                self._note_damage(row[0], error)

    def _find_in(self, column: str, values: Sequence[object]) -> Iterator[tuple[int, Record]]:
        """(seq, record) of each row whose column has one of the values, in no particular order."""
        for chunk in _chunks(values):
            yield from self._find(f"{column} IN ({_marks(chunk)})", chunk)

    def _scalar(self, sql: str, parameters: Sequence[object] = ()) -> int:
        return int(next(self._rows(sql, parameters))[0])

    def _rows(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        with self._connection() as connection, closing(connection.execute(sql, parameters)) as cursor:
            try:
                yield from cursor
            except sqlite3.OperationalError as error:
                if "decode" not in str(error):
                    raise
                # The disk changed a byte of a text. The cursor still stands at this row, whose checksum will tell.
                connection.text_factory = LENIENT_TEXT
                yield from cursor

    def _select_in(self, what: str, column: str, values: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        for chunk in _chunks(values):
            yield from self._rows(
                f"SELECT {what} FROM record WHERE {column} IN ({_marks(chunk)})",  # noqa: S608 (no values)
                chunk,
            )

    def _note_damage(self, seq: int, error: DamagedRecordError) -> None:
        if seq not in self.damaged:
            self.damaged.add(seq)
            _LOG.error("%s", error)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        if self._closed:
            raise GalleryError("the gallery is closed")
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            with disk_errors(self._path):
                yield connection
        finally:
            self._give_back(connection)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        self._idle.append(connection)
        if self._closed:
            self.close()

    def _connect(self) -> sqlite3.Connection:
        with ExitStack() as failed, disk_errors(self._path):
            # Used by one thread at a time, though not always by the same.
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=60)
            failed.callback(connection.close)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.create_function("distance_m_or_null", 4, distance_m_or_null, deterministic=True)
            failed.pop_all()
        return connection


def _require_order(before: int, seq: int) -> None:
    if seq <= before:
        raise GalleryError("the gallery's records are stored out of order: restore gallery.sqlite from a backup")


def _chunks(values: Sequence[object]) -> Iterator[Sequence[object]]:
    for start in range(0, len(values), _IN_CHUNK):
        yield values[start : start + _IN_CHUNK]


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _json(values: Collection[object]) -> str:
    return json.dumps(list(values))
