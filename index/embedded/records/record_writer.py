"""The writes to the table of records, in transactions."""

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from index.embedded.records.record_table import RECORD_COLUMNS, fields_to_row, record_to_row
from index.gallery.errors import RecordNotFoundError
from index.gallery.record import Record
from index.gallery.record_row import FIELD_NAMES
from index.gallery.record_store import Deletion
from index.gallery.timestamp import microseconds

# Records that are moved at once: 3 MB.
_PIECE: Final = 256


class SqliteWriter:
    """Implements `index.gallery.record_store.Writer`.

    Attributes:
        deleted: the seqs that `delete` was called with.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.deleted: set[int] = set()

    def insert(self, record: Record, seq: int | None = None) -> None:
        """Adds a record whose id is not there, with the next seq, or with one that no other record has."""
        values = [seq, *record_to_row(record), record.checksum()]
        sql = f"INSERT INTO record ({RECORD_COLUMNS}) VALUES ({','.join('?' * len(values))})"  # noqa: S608 (no values)
        seq = self._connection.execute(sql, values).lastrowid
        self._connection.execute(
            "INSERT INTO embedding (seq, embedding, theta) VALUES (?, ?, ?)",
            [seq, record.embedding.astype("<f4").tobytes(), record.theta.astype("<f4").tobytes()],
        )

    def update(self, record: Record) -> int:
        """Overwrites the user's fields of the record with this id, and its checksum; its seq.

        Raises:
            RecordNotFoundError: there is none with this id.
        """
        rows = self._connection.execute(
            """UPDATE record SET identity = ?, camera = ?, captured_at = ?, latitude = ?, longitude = ?, tags = ?,
            source = ?, attributes = ?, checksum = ? WHERE id = ? RETURNING seq""",
            [*fields_to_row(record.fields), record.checksum(), record.id],
        ).fetchall()
        if not rows:
            raise RecordNotFoundError(f"there is no record {record.id} in the gallery")
        return int(rows[0][0])

    def update_fields(self, records: Mapping[int, Record], names: Collection[str]) -> None:
        """Overwrites the user's fields of these names, and the checksums, of the records at these seqs."""
        # The columns that do not change are left out, and so their indexes are not written.
        columns = [name for name in FIELD_NAMES if name in names]
        wanted = [FIELD_NAMES.index(name) for name in columns]
        assignments = ",".join(f"{name} = ?" for name in [*columns, "checksum"])

        def values(record: Record) -> list[object]:
            row = fields_to_row(record.fields)
            return [*(row[i] for i in wanted), record.checksum()]

        self._connection.executemany(
            f"UPDATE record SET {assignments} WHERE seq = ?",  # noqa: S608 (no values)
            ([*values(record), seq] for seq, record in records.items()),
        )

    def delete(self, seqs: Sequence[int]) -> None:
        """Removes the records with these seqs, and their embeddings; one that is not there is fine."""
        self.deleted.update(seqs)
        self._connection.executemany("DELETE FROM record WHERE seq = ?", [(seq,) for seq in seqs])

    def set_aside(self, seqs: Sequence[int], deletion: Deletion) -> None:
        """Removes the records with these seqs, and keeps them as they are in the tables of what was deleted."""
        # Piece by piece, so that the pages which one piece leaves are there for the next.
        for start in range(0, len(seqs), _PIECE):
            piece = [(seq,) for seq in seqs[start : start + _PIECE]]
            self._connection.executemany(
                f"INSERT INTO deleted_record (deletion, {RECORD_COLUMNS}) "  # noqa: S608 (no values)
                f"SELECT ?, {RECORD_COLUMNS} FROM record WHERE seq = ?",
                [(deletion.id, seq) for (seq,) in piece],
            )
            self._connection.executemany(
                "INSERT INTO deleted_embedding SELECT seq, embedding, theta FROM embedding WHERE seq = ?", piece
            )
            self.delete([seq for (seq,) in piece])
        self._connection.execute(
            "INSERT INTO deletion (id, deleted_at, undo_until, num_records, undone) VALUES (?, ?, ?, ?, ?)",
            [
                deletion.id,
                microseconds(deletion.deleted_at),
                microseconds(deletion.undo_until),
                deletion.num_records,
                int(deletion.undone),
            ],
        )

    def restore(self, deletion_id: str) -> int:
        """Adds the records that a deletion set aside again, with new seqs; says how many there were.

        One whose id is there again is dropped. A damaged one comes back as damaged as it was.
        """
        columns = RECORD_COLUMNS.removeprefix("seq, ")
        seqs = self._connection.execute(
            "SELECT seq FROM deleted_record WHERE deletion = ? ORDER BY seq", [deletion_id]
        ).fetchall()
        num_restored = 0
        for (old_seq,) in seqs:
            added = self._connection.execute(
                f"INSERT INTO record ({columns}) SELECT {columns} FROM deleted_record "  # noqa: S608 (no values)
                "WHERE seq = ? AND NOT EXISTS (SELECT 1 FROM record WHERE record.id = deleted_record.id) RETURNING seq",
                [old_seq],
            ).fetchall()
            for (seq,) in added:
                self._connection.execute(
                    "INSERT INTO embedding SELECT ?, embedding, theta FROM deleted_embedding WHERE seq = ?",
                    [seq, old_seq],
                )
            num_restored += len(added)
            self._connection.execute("DELETE FROM deleted_record WHERE seq = ?", [old_seq])
        self._connection.execute("UPDATE deletion SET undone = 1 WHERE id = ?", [deletion_id])
        return num_restored

    def purge(self, now: datetime) -> None:
        """Forgets the deletions whose time is over, and what they set aside."""
        expired = "(SELECT id FROM deletion WHERE undo_until <= ?)"
        time = microseconds(now)
        self._connection.execute(f"DELETE FROM deleted_record WHERE deletion IN {expired}", [time])  # noqa: S608
        self._connection.execute("DELETE FROM deletion WHERE undo_until <= ?", [time])


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[SqliteWriter]:
    """All writes inside are on disk when the block is left, or none of them if it raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield SqliteWriter(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has rolled back by itself if the disk is full
            connection.execute("ROLLBACK")
        raise
