"""The records page by page: a cursor is the seq of the last record of the page before, in base 36."""

import re

import numpy as np

from index.gallery.answers import Page
from index.gallery.errors import CursorError
from index.gallery.fields import shorten
from index.gallery.filters import Filter
from index.gallery.record import ModelKey
from index.gallery.record_store import RecordStore
from index.gallery.vector_index import VectorIndex


def read_page(
    index: VectorIndex, store: RecordStore, model: ModelKey, where: Filter, limit: int, cursor: str | None
) -> Page:
    """At most `limit` records that pass the filter, in the order of enrolment, after the cursor.

    The index of the records of `model` says which pass, without reading them; the store adds those that it lacks.

    Raises:
        CursorError: a cursor that no page gave.
    """
    after = 0 if cursor is None else _seq_of(cursor, store.last_seq)
    seqs = index.passing(where)
    if unsearched := store.unsearched(where, model):
        seqs = np.union1d(seqs, unsearched)
    behind = seqs[np.searchsorted(seqs, after, "right") :]
    on_page = behind[:limit].tolist()
    records = store.records_at(on_page)
    return Page(
        [records[seq] for seq in on_page if seq in records and where.matches(records[seq])],
        _cursor(on_page[-1]) if len(behind) > limit else None,
        len(seqs),
    )


def _cursor(seq: int) -> str:
    return np.base_repr(seq, 36).lower()


def _seq_of(cursor: str, last_seq: int) -> int:
    if re.fullmatch("[0-9a-z]{1,13}", cursor):
        seq = int(cursor, 36)
        # There is one way to write each number, and no page gave a seq that no record ever had.
        if _cursor(seq) == cursor and 1 <= seq <= last_seq:
            return seq
    raise CursorError(f"{shorten(cursor)} is no cursor: take next_cursor of the page before, or none")
