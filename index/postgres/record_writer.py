"""The writes to the tables of records, within a transaction that holds the lock of the writers."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, bindparam, delete, exists, func, insert, literal, select, update

from index.gallery.errors import RecordNotFoundError
from index.gallery.record import Record
from index.gallery.record_store import Deletion
from index.gallery.timestamp import microseconds
from index.postgres.filter_condition import has_number
from index.postgres.record_table import (
    DELETED_RECORD,
    DELETION,
    GALLERY,
    RECORD,
    SCHEMA_VERSION,
    field_values,
    record_values,
)
from index.postgres.schema import require_layout

_BEHIND_SEQ: Final = [column.name for column in RECORD.c if column.name != "seq"]


class PostgresWriter:
    """Implements `index.gallery.record_store.Writer`.

    Seqs are numbers of one row that a commit writes last: whoever writes next, which is after that commit, goes on
    from there. So they rise in the order of commits, and a reader who has seen one will never see a smaller new one.
    """

    def __init__(self, connection: Connection) -> None:
        """Takes a transaction that holds the lock of the writers.

        Raises:
            GalleryError: another version of this program has changed the layout of the tables meanwhile.
        """
        self._connection = connection
        layout, self._last_seq = connection.execute(select(GALLERY.c.layout, GALLERY.c.last_seq)).one()
        require_layout(layout, SCHEMA_VERSION)

    def finish(self) -> int:
        """The last write of a transaction; the database's number of the transaction, to ask what became of it."""
        changed = update(GALLERY).values(last_seq=self._last_seq, num_changes=GALLERY.c.num_changes + 1)
        return int(self._connection.execute(changed.returning(func.txid_current())).scalar_one())

    def insert(self, record: Record) -> None:
        self._last_seq += 1
        self._connection.execute(insert(RECORD).values(seq=self._last_seq, **record_values(record)))

    def update(self, record: Record) -> int:
        values = {**field_values(record.fields), "checksum": record.checksum()}
        changed = update(RECORD).where(RECORD.c.id == record.id).values(values).returning(RECORD.c.seq)
        seq = self._connection.execute(changed).scalar_one_or_none()
        if seq is None:
            raise RecordNotFoundError(f"there is no record {record.id} in the gallery")
        return int(seq)

    def update_fields(self, records: Mapping[int, Record], names: Collection[str]) -> None:
        rows: list[dict[str, Any]] = []
        for seq, record in records.items():
            values = field_values(record.fields)
            changed = {name: values[name] for name in values if name in names}
            rows.append({"at": seq, "checksum": record.checksum(), **changed})
        if rows:
            self._connection.execute(update(RECORD).where(RECORD.c.seq == bindparam("at")), rows)

    def delete(self, seqs: Sequence[int]) -> None:
        self._connection.execute(delete(RECORD).where(has_number(RECORD.c.seq, seqs)))

    def set_aside(self, seqs: Sequence[int], deletion: Deletion) -> None:
        moved = select(RECORD.c.seq, *(RECORD.c[name] for name in _BEHIND_SEQ), literal(deletion.id))
        moved = moved.where(has_number(RECORD.c.seq, seqs))
        self._connection.execute(insert(DELETED_RECORD).from_select(["seq", *_BEHIND_SEQ, "deletion"], moved))
        self.delete(seqs)
        self._connection.execute(
            insert(DELETION).values(
                id=deletion.id,
                deleted_at=microseconds(deletion.deleted_at),
                undo_until=microseconds(deletion.undo_until),
                num_records=deletion.num_records,
                undone=deletion.undone,
            )
        )

    def restore(self, deletion_id: str) -> int:
        seq = literal(self._last_seq, BigInteger) + func.row_number().over(order_by=DELETED_RECORD.c.seq)
        back = select(seq, *(DELETED_RECORD.c[name] for name in _BEHIND_SEQ)).where(
            DELETED_RECORD.c.deletion == deletion_id, ~exists().where(RECORD.c.id == DELETED_RECORD.c.id)
        )
        added = insert(RECORD).from_select(["seq", *_BEHIND_SEQ], back).execution_options(preserve_rowcount=True)
        restored = self._connection.execute(added).rowcount
        self._last_seq += restored
        self._connection.execute(delete(DELETED_RECORD).where(DELETED_RECORD.c.deletion == deletion_id))
        self._connection.execute(update(DELETION).where(DELETION.c.id == deletion_id).values(undone=True))
        return restored

    def purge(self, now: datetime) -> None:
        expired = select(DELETION.c.id).where(DELETION.c.undo_until <= microseconds(now))
        self._connection.execute(delete(DELETED_RECORD).where(DELETED_RECORD.c.deletion.in_(expired)))
        self._connection.execute(delete(DELETION).where(DELETION.c.undo_until <= microseconds(now)))
