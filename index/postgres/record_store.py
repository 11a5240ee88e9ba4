"""The truth about every record, shared by several processes: tables in PostgreSQL."""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, and_, distinct, func, or_, select, text

from index.gallery.errors import DamagedRecordError, GalleryUnavailableError
from index.gallery.filters import Filter
from index.gallery.record import ModelKey, Record, record_id
from index.gallery.record_row import index_row, record_from_row
from index.gallery.record_store import Deletion, Row, Tallies
from index.gallery.retention import Expired, ExpiredRecord
from index.gallery.timestamp import time_of
from index.postgres.commit import committed
from index.postgres.database import Database
from index.postgres.filter_condition import expired_condition, filter_condition, has_number, has_text, is_near
from index.postgres.record_table import DELETED_RECORD, DELETION, GALLERY, INDEX_ROW, RECORD, WHOLE_RECORD
from index.postgres.record_writer import PostgresWriter
from index.postgres.schema import prepare_tables
from index.postgres.write_lock import PostgresWriteLock
from model.box import Box, BoxError

_LOG = logging.getLogger(__name__)

# Read with one statement: 3 MB of embeddings, or as many rows without them.
_RECORDS: Final = 256
_ROWS: Final = 10_000
_MODELS: Final = 100

# The planner reads the table itself then.
_WITHOUT_INDEXES: Final = text(
    "SET LOCAL enable_seqscan = on; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; "
    "SET LOCAL enable_bitmapscan = off"
)

_COLUMNS: Final = RECORD.c

T = TypeVar("T")


class PostgresRecordStore:
    """Implements `index.gallery.record_store.RecordStore` in PostgreSQL. Any number of processes may have it open.

    What the database answers is what was committed by any of them. Nothing is kept here that others could change, but
    for the seqs of damaged records that this process found.

    The database checks its own pages (`initdb --data-checksums`): what it finds damaged is an error of the call. A
    record whose own checksum fails is damaged as the protocol says.

    While the database is away every call raises `GalleryUnavailableError`, and works again once it is back. Nothing of
    a transaction that raises it was stored, unless the connection was lost in the middle of the commit: then it was
    stored whole or not at all, and the message says which (`index.postgres.commit`).

    Attributes:
        write_lock: to be held by a policy that reads before it writes. A transaction takes it if its thread has not.
    """

    def __init__(self, database: Database, *, may_create: bool = True) -> None:
        """Makes or migrates the tables, and takes over the database, which it closes.

        Raises:
            GalleryError: it cannot be reached, or has the tables of a newer program, or none and `may_create` is off.
        """
        self._database = database
        self.write_lock = PostgresWriteLock(database)
        self._damaged: set[int] = set()
        # The last tallies, with the number of changes and the limit that they are of.
        self._tallied: tuple[int, int, Tallies] | None = None
        try:
            with database.errors(), self.write_lock.connection() as connection, connection.begin():
                prepare_tables(connection, may_create=may_create)
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        """Closes every connection as soon as it is not in use; the store cannot be used afterwards."""
        self._database.close()

    @property
    def damaged(self) -> set[int]:
        """The seqs of the records that were found damaged so far and not deleted since, each logged once."""
        found = set(self._damaged)
        if found:
            # Another process may have deleted them. A seq never comes back.
            self._damaged -= found - {row.seq for row in self._rows(select(_COLUMNS.seq).where(_at(found)))}
        return set(self._damaged)

    @property
    def num_damaged(self) -> int:
        with suppress(GalleryUnavailableError):
            return len(self.damaged)
        return len(self._damaged)

    @property
    def last_seq(self) -> int:
        return self._scalar(select(GALLERY.c.last_seq))

    @contextmanager
    def transaction(self) -> Iterator[PostgresWriter]:
        """All writes inside are durable when the block is left, or none of them if it raises.

        Raises:
            GalleryUnavailableError: the database went away, perhaps in the middle of the commit: all of it is durable,
                or nothing, as the message says.
        """
        with self._database.errors(), self.write_lock.connection() as connection, connection.begin() as transaction:
            writer = PostgresWriter(connection)
            yield writer
            with committed(self._database, connection, writer.finish()):
                transaction.commit()

    def get(self, id_: str) -> Record | None:
        for row in self._rows(WHOLE_RECORD.where(has_text(_COLUMNS.id, [id_]))):
            try:
                return record_from_row(row)
            except DamagedRecordError as error:
                self._note_damage(row.seq, error)
                raise
        return None

    def records_of(self, ids: Sequence[str]) -> list[Record]:
        return list(self._intact(WHOLE_RECORD.where(has_text(_COLUMNS.id, ids))).values())

    def records_at(self, seqs: Sequence[int]) -> dict[int, Record]:
        return self._intact(WHOLE_RECORD.where(_at(seqs)))

    def records_after(self, seq: int, model: ModelKey) -> Iterator[tuple[int, Record]]:
        """(seq, record) of the intact records of a model behind a seq, rising, also of those that come meanwhile."""
        for row in self._behind(seq, model, WHOLE_RECORD, _RECORDS):
            if (record := self._read(record_from_row, row)) is not None:
                yield row.seq, record

    def rows_after(self, seq: int, model: ModelKey) -> Iterator[Row]:
        """The records of a model behind a seq, rising, without their embeddings, also of those that come meanwhile."""
        for row in self._behind(seq, model, INDEX_ROW, _ROWS):
            if (of_index := self._read(index_row, row)) is not None:
                yield of_index

    def unsearched(self, where: Filter, model: ModelKey) -> list[int]:
        of_model = _COLUMNS.fingerprint == model.fingerprint
        # Ranges of an index; for <> every record would be read: usually no other model made one.
        others = or_(
            _COLUMNS.fingerprint < model.fingerprint,
            _COLUMNS.fingerprint > model.fingerprint,
            and_(of_model, _COLUMNS.precision < model.precision),
            and_(of_model, _COLUMNS.precision > model.precision),
            _at(self._damaged),
        )
        with self._database.reading() as connection:
            return sorted(_passing(connection, where, others))

    def count(self) -> int:
        return self._scalar(select(func.count()).select_from(RECORD))

    def num_of_model(self, model: ModelKey) -> int:
        return self._scalar(select(func.count()).select_from(RECORD).where(_of(model)))

    def tallies(self, limit: int) -> Tallies:
        """Counts over all records, of one moment; read anew only if a transaction has ended since they were read."""
        with self._database.snapshot() as connection:
            num_changes = connection.scalar(select(GALLERY.c.num_changes)) or 0
            tallied = self._tallied
            if tallied is None or tallied[:2] != (num_changes, limit):
                tallied = self._tallied = num_changes, limit, _tallies(connection, limit)
            return tallied[2]

    def seqs_of(self, ids: Sequence[str]) -> list[int]:
        return [row.seq for row in self._rows(select(_COLUMNS.seq).where(has_text(_COLUMNS.id, ids)))]

    def contents_of(self, id_: str) -> dict[int, str]:
        found = self._rows(select(_COLUMNS.seq, _COLUMNS.content).where(has_text(_COLUMNS.id, [id_])))
        return {row.seq: row.content for row in found}

    def contents_passing(self, where: Filter) -> dict[int, str]:
        with self._table_itself() as connection:
            return _passing(connection, where)

    def expired(self, expired: Expired, after: int, limit: int) -> list[ExpiredRecord]:
        wanted = select(_COLUMNS.seq, _COLUMNS.id, _COLUMNS.content).where(
            _COLUMNS.seq > after, expired_condition(expired)
        )
        with self._table_itself() as connection:
            return [ExpiredRecord(*row) for row in connection.execute(wanted.order_by(_COLUMNS.seq).limit(limit))]

    def count_expired(self, expired: Expired) -> dict[str | None, int]:
        wanted = select(_COLUMNS.camera, func.count().label("number")).where(expired_condition(expired))
        with self._table_itself() as connection:
            return {row.camera: row.number for row in connection.execute(wanted.group_by(_COLUMNS.camera))}

    def contents(self) -> set[str]:
        with self._table_itself() as connection:
            return set(connection.scalars(select(_COLUMNS.content).distinct()))

    def doubtful_contents(self) -> set[str]:
        return {row.content for row in self._rows(select(_COLUMNS.content).where(_at(self._damaged)))}

    def named(self, contents: Collection[str]) -> set[str]:
        wanted = select(_COLUMNS.content).distinct().where(has_text(_COLUMNS.content, contents))
        named = {row.content for row in self._rows(wanted)}
        for row in self._rows(select(_COLUMNS.id, _COLUMNS.box).where(_at(self._damaged))):
            with suppress(BoxError):
                box = Box.parse(row.box)
                named |= {content for content in contents if record_id(content, box) == row.id}
        return named

    def deletions(self) -> list[Deletion]:
        return [
            Deletion(row.id, time_of(row.deleted_at), time_of(row.undo_until), row.num_records, row.undone)
            for row in self._rows(select(DELETION).order_by(DELETION.c.number.desc()))
        ]

    def deleted_contents(self, deletion_id: str | None = None) -> set[str]:
        wanted = select(DELETED_RECORD.c.content).distinct()
        if deletion_id is not None:
            wanted = wanted.where(has_text(DELETED_RECORD.c.deletion, [deletion_id]))
        return {row.content for row in self._rows(wanted)}

    def _intact(self, wanted: Select[Any]) -> dict[int, Record]:
        found = {row.seq: self._read(record_from_row, row) for row in self._rows(wanted)}
        return {seq: record for seq, record in found.items() if record is not None}

    def _behind(self, seq: int, model: ModelKey, wanted: Select[Any], at_once: int) -> Iterator[Any]:
        """Rows of a model behind a seq, rising; no transaction stays open while they are used."""
        wanted = wanted.where(_of(model)).order_by(_COLUMNS.seq).limit(at_once)
        while rows := self._rows(wanted.where(_COLUMNS.seq > seq)):
            yield from rows
            seq = rows[-1].seq

    def _scalar(self, wanted: Select[Any]) -> int:
        with self._database.reading() as connection:
            return int(connection.execute(wanted).scalar_one())

    def _rows(self, wanted: Select[Any]) -> Sequence[Any]:
        with self._database.reading() as connection:
            return connection.execute(wanted).all()

    @contextmanager
    def _table_itself(self) -> Iterator[Connection]:
        """For what ends files or deletes: an index that is out of step would lie about it."""
        with self._database.connection() as connection:
            connection.execute(_WITHOUT_INDEXES)
            yield connection

    def _read(self, read: Callable[[Any], T], row: Any) -> T | None:
        """What a row holds; a damaged one is noted, and None."""
        try:
            return read(row)
        except DamagedRecordError as error:
            self._note_damage(row.seq, error)
            return None

    def _note_damage(self, seq: int, error: DamagedRecordError) -> None:
        if seq not in self._damaged:
            self._damaged.add(seq)
            _LOG.error("%s", error)


def _at(seqs: Collection[int]) -> ColumnElement[bool]:
    return has_number(_COLUMNS.seq, seqs)


def _of(model: ModelKey) -> ColumnElement[bool]:
    return and_(_COLUMNS.fingerprint == model.fingerprint, _COLUMNS.precision == model.precision)


def _passing(connection: Connection, where: Filter, *conditions: ColumnElement[bool]) -> dict[int, str]:
    """By seq, the image content of the records that pass the filter and the conditions."""
    wanted = select(_COLUMNS.seq, _COLUMNS.content, _COLUMNS.latitude, _COLUMNS.longitude)
    found = connection.execute(wanted.where(filter_condition(where), *conditions))
    return {row.seq: row.content for row in found if is_near(where, row.latitude, row.longitude)}


def _tallies(connection: Connection, limit: int) -> Tallies:
    def num_distinct(column: ColumnElement[Any]) -> int:
        return int(connection.scalar(select(func.count(distinct(column)))) or 0)

    def tally(most: int, *columns: ColumnElement[Any]) -> list[Any]:
        """Rows of (value.., count) for the columns, the most frequent first."""
        wanted = select(*columns, func.count()).group_by(*columns)
        wanted = wanted.order_by(func.count().desc(), *(column.nulls_first() for column in columns)).limit(most)
        return [tuple(row) for row in connection.execute(wanted)]

    return Tallies(
        num_images=num_distinct(_COLUMNS.content),
        num_cameras=num_distinct(_COLUMNS.camera),
        num_identities=num_distinct(_COLUMNS.identity),
        cameras=tally(limit, _COLUMNS.camera),
        identities=tally(limit, _COLUMNS.identity),
        models=tally(_MODELS, _COLUMNS.fingerprint, _COLUMNS.precision),
    )
