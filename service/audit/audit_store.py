"""The audit log on disk: appended to, read page by page, and shortened at its old end alone."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Engine, delete, func, insert, or_, select, update
from sqlalchemy.exc import DatabaseError
from sqlalchemy.exc import TimeoutError as NoConnectionError

from service.audit.audit_table import ENTRIES, METADATA, RETENTION
from service.audit.entry import Entry, bounded
from service.tables import Tables

DATABASE: Final = "audit.sqlite"

_AT_ONCE: Final = 10_000
_COLUMNS: Final = ENTRIES.c


class AuditStoreError(Exception):
    """The audit log cannot be read or written."""

    retry_after_s = 10


class AuditUnreadableError(AuditStoreError):
    """The audit log was asked for, and cannot be read."""


class Search(NamedTuple):
    """Which entries are looked for: those that satisfy every condition that is not None.

    Attributes:
        key: the id or the name of a key, or another caller (``anonymous``).
        since, until: ``since <= at < until``.
    """

    key: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class AuditPage(NamedTuple):
    """Some entries, the newest first; `next_before` is None on the last page, `total` counts all pages."""

    entries: list[Entry]
    next_before: int | None
    total: int


class AuditStore:
    """The audit log of one data folder, or of all services that share a database.

    Safe to call from any thread; several processes may have it open.
    """

    def __init__(self, path: Path, database: str | None = None) -> None:
        """Opens the log; it is made if it is not there.

        Args:
            path: the file that it is,
            database: unless it is in this one.

        Raises:
            AuditStoreError: it cannot be read or written. A damaged one is not set aside by itself: somebody has to see
                that it is damaged.
        """
        self._tables = Tables.open(path, database)
        self._engine = self._tables.engine
        self._writing = self._tables.writing
        with self._errors(), self._writing.begin() as connection:
            METADATA.create_all(connection)
            if connection.execute(select(RETENTION)).first() is None:
                connection.execute(insert(RETENTION).values(only=1, keep_from=datetime.fromtimestamp(0, UTC)))

    @property
    def engine(self) -> Engine:
        """Its connections."""
        return self._engine

    def close(self) -> None:
        """Releases the connections."""
        self._engine.dispose()

    def append(self, entries: Sequence[Entry]) -> None:
        """Adds entries in their order, all of them or none; durable when this returns.

        Raises:
            AuditStoreError: the disk refuses.
        """
        rows = [{**vars(entry), "facts": bounded(entry.facts)} for entry in entries]
        for row in rows:
            del row["seq"]
        with self._errors(), self._writing.begin() as connection:
            connection.execute(insert(ENTRIES), rows)

    def page(self, search: Search, limit: int, before: int | None) -> AuditPage:
        """At most `limit` entries that the search finds, the newest first, whose seq is below `before`.

        Raises:
            AuditStoreError: they cannot be read.
        """
        conditions = _conditions(search)
        wanted = select(ENTRIES).where(*conditions).order_by(_COLUMNS.seq.desc()).limit(limit + 1)
        if before is not None:
            wanted = wanted.where(_COLUMNS.seq < before)
        with self._errors(), self._engine.connect() as connection:
            entries = [_entry(row) for row in connection.execute(wanted)]
            total = connection.scalar(select(func.count()).select_from(ENTRIES).where(*conditions)) or 0
        return AuditPage(entries[:limit], entries[limit - 1].seq if len(entries) > limit else None, total)

    def all(self, search: Search) -> Iterator[Entry]:
        """All entries that the search finds, the oldest first, as they are at this moment.

        Raises:
            AuditStoreError: they cannot be read.
        """
        wanted = select(ENTRIES).where(*_conditions(search)).order_by(_COLUMNS.seq)
        with self._errors(), self._engine.connect() as connection:
            for row in connection.execution_options(yield_per=1000).execute(wanted):
                yield _entry(row)

    def remove_before(self, keep_from: datetime) -> int:
        """Removes entries from before a time that is a day ago or more; how many.

        Raises:
            AuditStoreError: the disk refuses, or the time is younger.
        """
        old = select(_COLUMNS.seq).where(_COLUMNS.at < keep_from).order_by(_COLUMNS.seq).limit(_AT_ONCE)
        removed = 0
        while True:
            with self._errors(), self._writing.begin() as connection:
                connection.execute(update(RETENTION).values(keep_from=keep_from))
                num = connection.execute(delete(ENTRIES).where(_COLUMNS.seq.in_(old))).rowcount
            removed += num
            if num < _AT_ONCE:
                return removed

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            raise self._error(self._tables.message(error.orig)) from error
        except NoConnectionError as error:  # too many read it at once
            raise self._error(error) from error

    def _error(self, reason: object) -> AuditStoreError:
        return AuditStoreError(f"the audit log {self._tables.place} cannot be read or written: {reason}")


def keep_from(days: int) -> datetime:
    """From when on entries are kept, if they are for so many days."""
    return datetime.now(UTC) - timedelta(days=days)


def _conditions(search: Search) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if search.key is not None:
        conditions.append(or_(_COLUMNS.key == search.key, _COLUMNS.caller == search.key))
    if search.action is not None:
        conditions.append(_COLUMNS.action == search.action)
    if search.since is not None:
        conditions.append(_COLUMNS.at >= search.since)
    if search.until is not None:
        conditions.append(_COLUMNS.at < search.until)
    return conditions


def _entry(row: Any) -> Entry:
    return Entry(**row._mapping)
