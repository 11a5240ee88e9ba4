"""The records as a verification reads them: each with what its row says, damaged or not."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select

from index.gallery.errors import DamagedRecordError
from index.gallery.record import Record
from index.gallery.record_row import record_from_row
from index.gallery.verification import RowDescription
from index.postgres.database import Database
from index.postgres.filter_condition import has_number
from index.postgres.record_table import RECORD, WHOLE_RECORD


class PostgresVerifiedRecords:
    """Implements `index.gallery.verification.VerifiedRecords`. Changes nothing, and others may write meanwhile."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def num_records(self) -> int:
        """How many there are, damaged or not."""
        with self._database.reading() as connection:
            return int(connection.execute(select(func.count()).select_from(RECORD)).scalar_one())

    def seqs_after(self, seq: int, limit: int) -> list[int]:
        """The first `limit` seqs behind a seq, rising, of records damaged or not."""
        wanted = select(RECORD.c.seq).where(RECORD.c.seq > seq).order_by(RECORD.c.seq).limit(limit)
        with self._database.reading() as connection:
            return list(connection.scalars(wanted))

    def records_at(self, seqs: Sequence[int]) -> dict[int, Record]:
        """By seq, the intact records that are there."""
        records: dict[int, Record] = {}
        for row in self._rows_at(seqs):
            try:
                records[row.seq] = record_from_row(row)
            except DamagedRecordError:
                continue
        return records

    def describe(self, seqs: Sequence[int]) -> dict[int, RowDescription]:
        """By seq, what the rows that are there say, damaged or not."""
        return {row.seq: _describe(row) for row in self._rows_at(seqs)}

    def _rows_at(self, seqs: Sequence[int]) -> Sequence[Any]:
        with self._database.reading() as connection:
            return connection.execute(WHOLE_RECORD.where(has_number(RECORD.c.seq, seqs))).all()


def _describe(row: Any) -> RowDescription:
    try:
        record_from_row(row)
    except DamagedRecordError as error:
        return RowDescription(row.id, row.content, row.box, row.source, str(error))
    return RowDescription(row.id, row.content, row.box, row.source, None)
