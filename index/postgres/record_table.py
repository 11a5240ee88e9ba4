"""The tables of records, and the way from a record to a row."""

from typing import Any, Final

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    cast,
    event,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB

from index.gallery.fields import Fields
from index.gallery.record import Record
from index.gallery.record_row import INDEX_NAMES, RECORD_NAMES, VECTOR_NAMES
from index.gallery.timestamp import microseconds

SCHEMA_VERSION: Final = 1

METADATA: Final = MetaData()

# Compared byte by byte: the same order on every server, and indexes that no update of the system's locales breaks.
_NAME: Final = Text(collation="C")


def _columns_behind_seq() -> list[Column[Any]]:
    """Of a record; new objects each time, because a column belongs to one table."""
    return [
        Column("id", _NAME, nullable=False),
        Column("content", _NAME, nullable=False),
        Column("media_type", _NAME, nullable=False),
        Column("box", _NAME, nullable=False),
        Column("whole_image", Boolean, nullable=False),
        Column("identity", _NAME),
        Column("camera", _NAME),
        Column("captured_at", BigInteger),  # microseconds since 1970, UTC
        Column("latitude", Double),
        Column("longitude", Double),
        Column("tags", JSONB, nullable=False),  # array of texts
        Column("source", _NAME),
        Column("attributes", JSONB, nullable=False),  # object of texts
        Column("fingerprint", _NAME, nullable=False),
        Column("precision", _NAME, nullable=False),
        Column("enrolled_at", BigInteger, nullable=False),
        Column("checksum", LargeBinary, nullable=False),
        Column("embedding", LargeBinary, nullable=False),  # float32, little endian
        Column("theta", LargeBinary, nullable=False),
    ]


GALLERY = Table(
    "gallery",
    METADATA,
    Column("number", Integer, CheckConstraint("number = 1"), primary_key=True, autoincrement=False),
    Column("layout", Integer, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("num_changes", BigInteger, nullable=False),
)
"""One row: the layout of the tables, the highest seq ever given, and how many transactions have changed the records."""

RECORD = Table(
    "record",
    METADATA,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    *_columns_behind_seq(),
)
Index("record_id", RECORD.c.id, unique=True)
Index("record_content", RECORD.c.content)
Index("record_identity", RECORD.c.identity)
Index("record_camera", RECORD.c.camera)
Index("record_model", RECORD.c.fingerprint, RECORD.c.precision, RECORD.c.seq)

DELETION = Table(
    "deletion",
    METADATA,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    Column("id", _NAME, nullable=False),
    Column("deleted_at", BigInteger, nullable=False),
    Column("undo_until", BigInteger, nullable=False),
    Column("num_records", BigInteger, nullable=False),
    Column("undone", Boolean, nullable=False),
)

DELETED_RECORD = Table(
    "deleted_record",
    METADATA,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),  # the one that it had
    *_columns_behind_seq(),
    Column("deletion", _NAME, nullable=False),
)

for _table in (RECORD, DELETED_RECORD):
    # Outside the row, which a filter then reads without it, and not compressed: noise only costs time.
    _outside = DDL("ALTER TABLE %(fullname)s ALTER COLUMN embedding SET STORAGE EXTERNAL")  # type: ignore[no-untyped-call]
    event.listen(_table, "after_create", _outside)


def selected(names: tuple[str, ...]) -> Select[Any]:
    """These columns of the records, as `index.gallery.record_row` reads them: JSON as text."""
    columns = RECORD.c
    return select(*(cast(columns[name], Text) if name in ("tags", "attributes") else columns[name] for name in names))


WHOLE_RECORD: Final = selected((*RECORD_NAMES, *VECTOR_NAMES))
INDEX_ROW: Final = selected(INDEX_NAMES)


def record_values(record: Record) -> dict[str, Any]:
    """The columns of ``record`` behind seq."""
    return {
        "id": record.id,
        "content": record.content,
        "media_type": record.media_type,
        "box": str(record.box),
        "whole_image": record.whole_image,
        **field_values(record.fields),
        "fingerprint": record.model.fingerprint,
        "precision": record.model.precision,
        "enrolled_at": microseconds(record.enrolled_at),
        "checksum": record.checksum(),
        "embedding": record.embedding.astype("<f4").tobytes(),
        "theta": record.theta.astype("<f4").tobytes(),
    }


def field_values(fields: Fields) -> dict[str, Any]:
    """The columns of the user's fields."""
    return {
        "identity": fields.identity,
        "camera": fields.camera,
        "captured_at": None if fields.captured_at is None else microseconds(fields.captured_at),
        "latitude": fields.latitude,
        "longitude": fields.longitude,
        "tags": list(fields.tags),
        "source": fields.source,
        "attributes": dict(fields.attributes),
    }
