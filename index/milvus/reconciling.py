"""Bringing rows in line with the records, whatever happened to either: a backup was put back, or a write failed."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from index.gallery.fields import Fields
from index.gallery.record import ModelKey
from index.gallery.record_store import RecordStore, Row
from index.milvus.connection import MAX_ROWS
from index.milvus.expression import EVERY_ROW
from index.milvus.milvus_index import MilvusIndex
from index.milvus.schema import field_columns

# Records read at once: 40 MB of embeddings.
_CHUNK: Final = 4096


class Reconciled(NamedTuple):
    """How many rows were not their records', and are now."""

    removed: int
    added: int
    changed: int


def reconcile(index: MilvusIndex, store: RecordStore, model: ModelKey) -> Reconciled:
    """Compares every row of the index with the records of a model, and writes those that differ.

    A row counts only if seq, id and time of enrolment are its record's: an older database, put back, gives its seqs
    to other records. What is written meanwhile by others is theirs or done twice; a record that they delete may keep
    its row until a search names it.

    Raises:
        GalleryError: the server or the store cannot be asked.
    """
    # Before the records are read: what comes later is caught up, as ever.
    last_seq = store.last_seq
    differing = _Differing(index, store)
    columns = ["seq", "id", "enrolled_us", *field_columns(Fields())]
    rows = (row for page in index.collection.pages(EVERY_ROW, columns, MAX_ROWS) for row in page)
    for row, stored in _by_seq(rows, store.rows_after(0, model)):
        if stored is None:
            differing.gone.append(row["seq"])
        elif not row or (row["id"], row["enrolled_us"]) != (stored.id, stored.enrolled_us):
            differing.missing.append(stored.seq)
        elif any(row[name] != value for name, value in field_columns(stored.fields).items()):
            differing.changed[stored.seq] = stored.fields
        if differing.is_enough():
            differing.write()
    differing.write()
    index.note_last_seq(last_seq)
    return differing.written


class _Differing:
    """Rows still to be written."""

    def __init__(self, index: MilvusIndex, store: RecordStore) -> None:
        self._index, self._store = index, store
        self.gone: list[int] = []
        self.missing: list[int] = []
        self.changed: dict[int, Fields] = {}
        self.written = Reconciled(0, 0, 0)

    def is_enough(self) -> bool:
        return max(len(self.gone), len(self.missing), len(self.changed)) >= _CHUNK

    def write(self) -> None:
        # A record found damaged now has no row either.
        records = sorted(self._store.records_at(self.missing).items())
        self._index.remove(sorted({*self.gone, *self.missing} - dict(records).keys()))
        self._index.add(records)
        self._index.update(self.changed)
        removed, added, changed = self.written
        self.written = Reconciled(removed + len(self.gone), added + len(records), changed + len(self.changed))
        self.gone, self.missing, self.changed = [], [], {}


def _by_seq(rows: Iterator[dict[str, Any]], stored: Iterator[Row]) -> Iterator[tuple[dict[str, Any], Row | None]]:
    """Both with one seq, or one of them where the other is not there: an empty row, or no record."""
    row, record = next(rows, None), next(stored, None)
    while row is not None or record is not None:
        if record is None or (row is not None and row["seq"] < record.seq):
            yield row or {}, None
            row = next(rows, None)
        elif row is None or record.seq < row["seq"]:
            yield {}, record
            record = next(stored, None)
        else:
            yield row, record
            row, record = next(rows, None), next(stored, None)
