"""From the layout of an older program to this one's, when its gallery is opened.

Layout 2 keeps what the user says of a record's source and its attributes, and every name as it is compared. Embeddings,
and the checksums of all records whose names stay as they are, remain those of layout 1.

Layout 3 has tables for what was deleted and can be brought back. Nothing that was there before is changed.
"""

import json
import logging
import sqlite3
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from index.embedded.disk import sync_folder
from index.embedded.records.database_file import new_database, remove_database
from index.embedded.records.lenient_text import LENIENT_TEXT
from index.embedded.records.record_table import (
    ATTRIBUTES_COLUMN,
    DELETION_TABLES,
    SELECT,
    SOURCE_COLUMN,
    SOURCE_INDEX,
)
from index.embedded.records.record_writer import SqliteWriter, transaction
from index.gallery.errors import DamagedRecordError
from index.gallery.fields import Fields
from index.gallery.record_row import record_from_row

_LOG = logging.getLogger(__name__)


OLDER_LAYOUTS: Final = (1, 2)


def migrate(connection: sqlite3.Connection, path: Path, layout: int) -> None:
    """Brings the database `path` from an older layout to this program's, one layout after the other.

    If it raises, the database has one of these layouts, whole; it can be done again.
    """
    if layout == 1:
        _to_layout_2(connection, path)
    with transaction(connection):
        for table in DELETION_TABLES:
            connection.execute(table)
        connection.execute("PRAGMA user_version = 3")


def _to_layout_2(connection: sqlite3.Connection, path: Path) -> None:
    """Brings the database `path` from layout 1 to layout 2, or leaves it as it is if it raises.

    A copy of it as it was stays beside it, as ``<name>.layout-1``. Interrupted, it can be done again.
    """
    copy = _keep_copy(connection, path)
    connection.text_factory = LENIENT_TEXT
    with transaction(connection) as writer:
        connection.execute(f"ALTER TABLE record ADD COLUMN {SOURCE_COLUMN}")
        connection.execute(f"ALTER TABLE record ADD COLUMN {ATTRIBUTES_COLUMN}")
        connection.execute(SOURCE_INDEX)
        num_renamed = _compose_names(connection, writer)
        connection.execute("PRAGMA user_version = 2")
    _LOG.info(
        "%s was brought to layout 2, with %d records whose names now are in composed form and without spaces at their "
        "ends; as it was, it stays in %s",
        path, num_renamed, copy,
    )  # fmt: skip


def _keep_copy(connection: sqlite3.Connection, path: Path) -> Path:
    copy = path.with_name(f"{path.name}.layout-1")
    if copy.exists():
        return copy
    unfinished = path.with_name(f"{path.name}.layout-1.tmp")
    with new_database(unfinished) as target:
        connection.backup(target)
    try:
        unfinished.replace(copy)
    except BaseException:
        remove_database(unfinished)
        raise
    sync_folder(path.parent)
    return copy


def _compose_names(connection: sqlite3.Connection, writer: SqliteWriter) -> int:
    """Composes every name that is not (NFC) and strips it; a damaged record stays what it is. Says how many changed."""
    num_renamed = 0
    for seq in list(_seqs_with_other_names(connection)):
        row = connection.execute(f"{SELECT} WHERE seq = ?", [seq]).fetchone()
        try:
            record = record_from_row(row)
        except DamagedRecordError:
            continue
        writer.update(replace(record, fields=_composed(record.fields)))
        num_renamed += 1
    return num_renamed


def _seqs_with_other_names(connection: sqlite3.Connection) -> Iterator[int]:
    for seq, identity, camera, tags in connection.execute("SELECT seq, identity, camera, tags FROM record"):
        try:
            fields = Fields(identity, camera, tags=tuple(json.loads(tags)))
            if _composed(fields) != fields:
                yield seq
        except (ValueError, TypeError, AttributeError, RecursionError):
            continue  # damaged


def _composed(fields: Fields) -> Fields:
    identity, camera = (None if name is None else _compose(name) or None for name in (fields.identity, fields.camera))
    return replace(fields, identity=identity, camera=camera, tags=tuple(filter(None, map(_compose, fields.tags))))


def _compose(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()
