"""The table of records: its layout, and the way from a record to a row."""

import json
from typing import Final

from index.gallery.fields import Fields
from index.gallery.record import Record
from index.gallery.record_row import INDEX_NAMES, RECORD_NAMES, VECTOR_NAMES
from index.gallery.timestamp import microseconds

SCHEMA_VERSION: Final = 3

# What layout 2 has more than layout 1, at the end of the table as `ALTER TABLE` puts it there.
SOURCE_COLUMN: Final = "source TEXT"
ATTRIBUTES_COLUMN: Final = "attributes TEXT NOT NULL DEFAULT '{}'"  # JSON object of texts
SOURCE_INDEX: Final = "CREATE INDEX record_source ON record (source)"

_COLUMNS_BEHIND_ID: Final = f"""
    content TEXT NOT NULL,
    media_type TEXT NOT NULL,
    box TEXT NOT NULL,
    whole_image INTEGER NOT NULL,
    identity TEXT,
    camera TEXT,
    captured_at INTEGER,  -- microseconds since 1970, UTC
    latitude REAL,
    longitude REAL,
    tags TEXT NOT NULL,  -- JSON array
    fingerprint TEXT NOT NULL,
    precision TEXT NOT NULL,
    enrolled_at INTEGER NOT NULL,
    checksum BLOB NOT NULL,
    {SOURCE_COLUMN},
    {ATTRIBUTES_COLUMN}
"""

# What layout 3 has more than layout 2: deletions that can be undone, and what they deleted, as it was. No index: the
# tables are small, and an index that the disk has damaged would hide what an undo needs.
DELETION_TABLES: Final = (
    """CREATE TABLE deletion (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    deleted_at INTEGER NOT NULL,  -- microseconds since 1970, UTC
    undo_until INTEGER NOT NULL,
    num_records INTEGER NOT NULL,
    undone INTEGER NOT NULL
) STRICT""",
    f"""CREATE TABLE deleted_record (
    seq INTEGER PRIMARY KEY,  -- the one that it had
    deletion TEXT NOT NULL,
    id TEXT NOT NULL,
    {_COLUMNS_BEHIND_ID}
) STRICT""",
    """CREATE TABLE deleted_embedding (
    seq INTEGER PRIMARY KEY REFERENCES deleted_record (seq) ON DELETE CASCADE,
    embedding BLOB NOT NULL,
    theta BLOB NOT NULL
) STRICT""",
)

# Embeddings have their own table: a filter then scans 200 bytes a record instead of 10 kB.
SCHEMA: Final = f"""
BEGIN;
CREATE TABLE record (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of enrolment, never used twice
    id TEXT NOT NULL UNIQUE,
    {_COLUMNS_BEHIND_ID}
) STRICT;
CREATE INDEX record_content ON record (content);
CREATE INDEX record_identity ON record (identity);
CREATE INDEX record_camera ON record (camera);
CREATE INDEX record_captured_at ON record (captured_at);
CREATE INDEX record_model ON record (fingerprint, precision);
{SOURCE_INDEX};
CREATE TABLE embedding (
    seq INTEGER PRIMARY KEY REFERENCES record (seq) ON DELETE CASCADE,
    embedding BLOB NOT NULL,  -- float32, little endian
    theta BLOB NOT NULL
) STRICT;
{";".join(DELETION_TABLES)};
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""

RECORD_COLUMNS: Final = ", ".join(RECORD_NAMES)
COLUMNS: Final = f"{RECORD_COLUMNS}, {', '.join(VECTOR_NAMES)}"
# LEFT, so that a record whose embedding is lost is found to be damaged, not overlooked.
SELECT: Final = f"SELECT {COLUMNS} FROM record LEFT JOIN embedding USING (seq)"  # noqa: S608 (no values)
# What a record's embedding is not needed for.
ROW_COLUMNS: Final = ", ".join(INDEX_NAMES)


def record_to_row(record: Record) -> list[object]:
    """The columns of ``record`` behind seq, without the checksum."""
    return [
        record.id, record.content, record.media_type, str(record.box), int(record.whole_image),
        *fields_to_row(record.fields), record.model.fingerprint, record.model.precision,
        microseconds(record.enrolled_at),
    ]  # fmt: skip


def fields_to_row(fields: Fields) -> list[object]:
    """The values of `FIELD_NAMES`."""
    captured_at = None if fields.captured_at is None else microseconds(fields.captured_at)
    tags = json.dumps(fields.tags, ensure_ascii=False)
    attributes = json.dumps(dict(fields.attributes), ensure_ascii=False)
    place = [fields.latitude, fields.longitude]
    return [fields.identity, fields.camera, captured_at, *place, tags, fields.source, attributes]
