"""The database that is to take another one's place: the same records under the same seqs, embedded by another model.

It is filled while the other one changes. What is still to be done is found by comparing the two, so that an
interruption leaves nothing to repair.
"""

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple, Self

from index.embedded.disk import disk_errors
from index.embedded.records.record_reader import RecordReader
from index.embedded.records.record_store import SqliteRecordStore
from index.embedded.records.record_writer import transaction
from index.gallery.errors import GalleryError
from index.gallery.fields import Fields
from index.gallery.record import ModelKey, Record
from index.gallery.record_row import FIELD_NAMES

# 10 kB each.
_READ_TOGETHER: Final = 64
# Below SQLite's limit of parameters in one statement.
_CHUNK: Final = 10_000

_FIELDS_DIFFER: Final = " OR ".join(f"mine.{name} IS NOT theirs.{name}" for name in FIELD_NAMES)

# The tables themselves (NOT INDEXED): an index that the disk has damaged would hide records.
_MISSING: Final = """SELECT seq FROM theirs.record AS theirs NOT INDEXED
WHERE NOT EXISTS (SELECT 1 FROM main.record AS mine NOT INDEXED WHERE mine.seq = theirs.seq) ORDER BY seq"""
_SUPERFLUOUS: Final = """SELECT seq FROM main.record AS mine NOT INDEXED
WHERE NOT EXISTS (
    SELECT 1 FROM theirs.record AS theirs NOT INDEXED WHERE theirs.seq = mine.seq AND theirs.id IS mine.id
) ORDER BY seq"""
_CHANGED: Final = f"""SELECT theirs.seq FROM theirs.record AS theirs NOT INDEXED
JOIN main.record AS mine NOT INDEXED ON mine.seq = theirs.seq WHERE {_FIELDS_DIFFER} ORDER BY theirs.seq"""  # noqa: S608 (no values)


class Followed(NamedTuple):
    """What of the records that it had already a successor has taken over anew.

    Attributes:
        removed: the seqs of those that were deleted.
        changed: by seq, the user's fields of those whose fields are others now.
    """

    removed: list[int]
    changed: dict[int, Fields]


class Successor:
    """The database at `path`, which is to succeed the one at `predecessor`; for one thread at a time.

    What cannot be embedded is taken over as it is, a damaged record bit by bit: it stays listed and can be mended.
    """

    def __init__(self, predecessor: Path, path: Path, model: ModelKey) -> None:
        """Opens or creates the database, in a folder that is there; the predecessor is open in this process.

        Raises:
            GalleryError: one of them cannot be read or written.
        """
        self._model = model
        self._path = path
        SqliteRecordStore(path).close()  # creates the tables, or checks them
        with ExitStack() as opened:
            self._theirs = opened.enter_context(RecordReader(predecessor))
            self._mine = opened.enter_context(RecordReader(path))
            with disk_errors(path):
                self._connection = opened.enter_context(closing(_connect(path, predecessor)))
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def num_records(self) -> int:
        """How many it has."""
        return self._mine.num_records()

    def num_wanted(self) -> int:
        """How many its predecessor has."""
        return self._theirs.num_records()

    def num_embedded(self) -> int:
        """How many of its own its model has embedded."""
        return dict(self._mine.models()).get(self._model, 0)

    def drop_not_embedded(self) -> None:
        """Removes what was taken over as it is: it is missing then, and may be embedded this time."""
        with disk_errors(self._path), transaction(self._connection):
            self._connection.execute(
                "DELETE FROM main.record WHERE fingerprint <> ? OR precision <> ?",
                [self._model.fingerprint, self._model.precision],
            )

    def missing(self) -> list[int]:
        """The seqs of the predecessor's records that it lacks, rising."""
        return self._seqs(_MISSING)

    def records_at(self, seqs: Sequence[int]) -> Iterator[tuple[int, Record]]:
        """(seq, record) of the predecessor's intact records at these seqs, in their order."""
        remaining = iter(seqs)
        while chunk := list(islice(remaining, _READ_TOGETHER)):
            records = self._theirs.records_at(chunk)
            yield from ((seq, records[seq]) for seq in chunk if seq in records)

    def put(self, seqs: Sequence[int], embedded: Mapping[int, Record]) -> None:
        """Takes the predecessor's records at these seqs over in one transaction, as `embedded` has them or as they are.

        Raises:
            GalleryError: the disk refuses, or one is damaged so much that no database would take it.
        """
        copied = [seq for seq in seqs if seq not in embedded]
        with disk_errors(self._path), transaction(self._connection) as writer:
            # What was there before has their ids where a record was deleted and enrolled again.
            writer.delete(self._seqs_with_ids_of(seqs))
            for seq, record in embedded.items():
                writer.insert(record, seq)
            self._copy(copied)

    def follow(self) -> Followed:
        """Removes what the predecessor has no more, and takes over the user's fields that were changed there."""
        superfluous = self._seqs(_SUPERFLUOUS)
        with disk_errors(self._path), transaction(self._connection) as writer:
            writer.delete(superfluous)
        seqs = self._seqs(_CHANGED)
        changed: dict[int, Fields] = {}
        for start in range(0, len(seqs), _CHUNK):
            chunk = seqs[start : start + _CHUNK]
            mine, theirs = self._mine.records_at(chunk), self._theirs.records_at(chunk)
            fields = {seq: theirs[seq].fields for seq in chunk if seq in mine and seq in theirs}
            damaged = [seq for seq in chunk if seq not in fields]
            with disk_errors(self._path), transaction(self._connection) as writer:
                writer.update_fields({seq: replace(mine[seq], fields=fields[seq]) for seq in fields}, FIELD_NAMES)
                writer.delete(damaged)
                self._copy(damaged)
            changed |= fields
        return Followed(superfluous, changed)

    def finish(self) -> None:
        """Takes over all that stands beside the records, such as the number of the last one.

        It is complete then, if it lacked nothing and the predecessor does not change meanwhile.
        """
        sql = "SELECT name FROM theirs.sqlite_schema WHERE type = 'table' AND name NOT IN ('record', 'embedding')"
        with disk_errors(self._path), transaction(self._connection):
            self._connection.execute("PRAGMA defer_foreign_keys = ON")  # whatever the order of the tables
            tables = [row[0] for row in self._connection.execute(sql)]
            for table in tables:
                self._connection.execute(f"DELETE FROM main.{table}")  # noqa: S608 (no values)
                self._connection.execute(f"INSERT INTO main.{table} SELECT * FROM theirs.{table}")  # noqa: S608

    def _copy(self, seqs: Sequence[int]) -> None:
        """Takes over rows as they are, whatever they hold."""
        try:
            for table in ("record", "embedding"):
                self._connection.executemany(
                    f"INSERT INTO main.{table} SELECT * FROM theirs.{table} WHERE seq = ?",  # noqa: S608 (no values)
                    [(seq,) for seq in seqs],
                )
        except sqlite3.IntegrityError as error:
            raise GalleryError(
                f"a damaged record cannot be taken over ({error}): stop the service and run "
                "python -m index.verify --repair"
            ) from error

    def _seqs_with_ids_of(self, seqs: Collection[int]) -> list[int]:
        found: set[int] = set()
        remaining = iter(seqs)
        while chunk := list(islice(remaining, _CHUNK)):
            marks = ",".join("?" * len(chunk))
            ids = f"SELECT id FROM theirs.record WHERE seq IN ({marks})"  # noqa: S608 (no values)
            found.update(self._seqs(f"SELECT seq FROM main.record WHERE id IN ({ids})", chunk))  # noqa: S608
        return sorted(found)

    def _seqs(self, sql: str, parameters: Sequence[object] = ()) -> list[int]:
        with disk_errors(self._path):
            return [row[0] for row in self._connection.execute(sql, parameters)]


def _connect(path: Path, predecessor: Path) -> sqlite3.Connection:
    """A connection that writes the one and reads the other, as `theirs`."""
    connection = sqlite3.connect(path.absolute().as_uri(), uri=True, isolation_level=None, timeout=60)
    with ExitStack() as failed:
        failed.callback(connection.close)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("ATTACH ? AS theirs", [f"{predecessor.absolute().as_uri()}?mode=ro"])
        failed.pop_all()
    return connection
