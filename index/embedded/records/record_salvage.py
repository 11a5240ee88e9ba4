"""What can be saved of damaged records: each kept as a row of bytes, or rebuilt from the copies in SQLite's indexes."""

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import product
from typing import Any, Final

from index.embedded.records.lenient_text import BROKEN
from index.embedded.records.record_table import COLUMNS
from index.gallery.errors import DamagedRecordError
from index.gallery.record import record_id
from index.gallery.record_row import record_from_row
from model.box import Box, BoxError

NAMES: Final = [name.strip() for name in COLUMNS.split(",")]
_BLOBS: Final = {"checksum", "embedding", "theta"}

# An index keeps the columns that it is about a second time, on other pages of the disk.
_COPIES: Final = {
    "sqlite_autoindex_record_1": ["id"],
    "record_content": ["content"],
    "record_identity": ["identity"],
    "record_camera": ["camera"],
    "record_captured_at": ["captured_at"],
    "record_model": ["fingerprint", "precision"],
    "record_source": ["source"],
}
# The tables are read apart: where a page of one cannot be read, the other's often can.
_TABLES: Final = {"record": NAMES[:-2], "embedding": NAMES[-2:]}

Row = dict[str, Any]
"""Those of the columns `NAMES` that can be read, texts as bytes: the disk may have made them invalid."""


def known_seqs(connection: sqlite3.Connection) -> list[int]:
    """The seqs of all records that the table, its indexes or the embeddings know, rising; on a broken database too."""
    statements = [f"SELECT seq FROM record INDEXED BY {name}" for name in _COPIES]  # noqa: S608 (no values)
    # From both ends, up to the page that cannot be read.
    statements += [f"SELECT seq FROM record NOT INDEXED ORDER BY seq {order}" for order in ("ASC", "DESC")]  # noqa: S608
    statements += [f"SELECT seq FROM embedding ORDER BY seq {order}" for order in ("ASC", "DESC")]  # noqa: S608
    seqs: set[int] = set()
    for statement in statements:
        with suppress(*BROKEN):
            seqs.update(seq for (seq,) in connection.execute(statement) if isinstance(seq, int) and seq > 0)
    return sorted(seqs)


def read_rows(connection: sqlite3.Connection, seqs: Collection[int]) -> Iterator[tuple[int, Row]]:
    """(seq, row) of each; the row lacks what is not there or lies on a page that cannot be read.

    The connection must give texts as bytes.
    """
    for seq in seqs:
        row: Row = {}
        for table, names in _TABLES.items():
            with suppress(*BROKEN):
                statement = f"SELECT {','.join(names)} FROM {table} NOT INDEXED WHERE seq = ?"  # noqa: S608
                for values in connection.execute(statement, [seq]):
                    row |= zip(names, values, strict=True)
        yield seq, row


def copies_in_indexes(connection: sqlite3.Connection, seqs: Collection[int]) -> dict[int, Row]:
    """By seq, the columns of these records that an index still has."""
    copies: dict[int, Row] = {seq: {} for seq in seqs}
    wanted = "+seq IN (SELECT value FROM json_each(?))"
    for index, columns in _COPIES.items():
        statement = f"SELECT seq, {','.join(columns)} FROM record INDEXED BY {index} WHERE {wanted}"  # noqa: S608
        with suppress(*BROKEN):
            for seq, *values in connection.execute(statement, [str(list(seqs))]):
                copies[seq] |= dict(zip(columns, values, strict=True))
    return copies


def is_intact(row: Row) -> bool:
    """Whether a row is whole and has its checksum and its id."""
    try:
        record = record_from_row(tuple(_text(name, row[name]) for name in NAMES))
    except (KeyError, UnicodeDecodeError, DamagedRecordError):
        return False
    return record.id == record_id(record.content, record.box)


def rejoined(rows: dict[int, Row], copies: dict[int, Row]) -> dict[int, Row]:
    """The rows, by seq, with each embedding that lost its record put to the record that has another seq by mistake.

    Which one it is, the index of the ids knows.
    """
    embedding_only = {copies[seq].get("id"): seq for seq, row in rows.items() if row and "id" not in row}
    result = dict(rows)
    for seq, row in rows.items():
        right = embedding_only.get(row.get("id"))
        if "embedding" not in row and "id" in row and right is not None:
            result[right] = row | {"seq": right} | rows[right]
            result.pop(seq, None)
    return result


def rebuilt(row: Row, copies: Row) -> Row | None:
    """The row as it was written, with what the indexes and its other columns still say; None if they do not say it.

    Its checksum decides, so that nothing is guessed.
    """
    if not row.keys() >= set(NAMES):
        return None
    differing = {name: value for name, value in copies.items() if row[name] != value}
    replacements: list[Row] = [{}, *({name: value} for name, value in differing.items()), differing]
    for replacement, other_flag, other_id in product(replacements, (False, True), (False, True)):
        candidate = row | replacement
        if other_flag:
            candidate["whole_image"] = int(not candidate["whole_image"])
        if other_id:
            with suppress(BoxError, UnicodeDecodeError, AttributeError):
                box = Box.parse(candidate["box"].decode())
                candidate["id"] = record_id(candidate["content"].decode(), box).encode()
        if is_intact(candidate):
            return candidate
    return None


def _text(name: str, value: object) -> object:
    return value.decode() if isinstance(value, bytes) and name not in _BLOBS else value
