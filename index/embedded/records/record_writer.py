"""The writes to the table of records, in transactions."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from index.embedded.records.record_table import COLUMNS, fields_to_row, record_to_row
from index.gallery.errors import RecordNotFoundError
from index.gallery.record import Record


class SqliteWriter:
    """Implements `index.gallery.record_store.Writer`.

    Attributes:
        deleted: the seqs that `delete` was called with.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.deleted: set[int] = set()

    def insert(self, record: Record) -> None:
        names = [name.strip() for name in COLUMNS.split(",")][1:-2]
        values = [*record_to_row(record), record.checksum()]
        sql = f"INSERT INTO record ({','.join(names)}) VALUES ({','.join('?' * len(names))})"  # noqa: S608 (no values)
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

    def delete(self, seqs: Sequence[int]) -> None:
        """Removes the records with these seqs, and their embeddings; one that is not there is fine."""
        self.deleted.update(seqs)
        self._connection.executemany("DELETE FROM record WHERE seq = ?", [(seq,) for seq in seqs])


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
