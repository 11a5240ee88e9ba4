"""The columns of a collection, and a record as one of its rows."""

from typing import Any, Final

import numpy as np

from index.gallery.errors import GalleryError
from index.gallery.fields import Fields
from index.gallery.record import Record
from index.gallery.timestamp import microseconds
from index.milvus.client import CollectionSchema, DataType, MilvusClient
from index.milvus.field_codes import attribute_codes, tag_codes, text_code
from index.milvus.options import MilvusOptions
from index.milvus.scaled_vector import scaled

LAST_SEQ_ROW: Final = 0
"""The row with this seq is no record's: its `enrolled_us` is the highest seq that the index ever held."""

NO_TIME: Final = -(10**17)
"""Before the year 1, in microseconds."""

_NOWHERE: Final = 1000.0  # degrees, in no box
# What Milvus allows of an array; what users send ends at `MAX_TAGS` and `MAX_ATTRIBUTES`.
_MAX_CODES: Final = 4096

INDEXED_COLUMNS: Final = (
    "id", "identity", "camera", "source", "captured_us", "latitude", "longitude", "tags", "attributes",
)  # fmt: skip


def collection_schema(dim: int, options: MilvusOptions) -> CollectionSchema:
    """Of embeddings with `dim` numbers."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("seq", DataType.INT64, is_primary=True)
    schema.add_field("id", DataType.VARCHAR, max_length=32)
    schema.add_field("enrolled_us", DataType.INT64)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=dim)
    schema.add_field("exponent", DataType.INT16)
    schema.add_field("identity", DataType.INT64)
    schema.add_field("camera", DataType.INT64, is_partition_key=options.num_partitions > 0)
    schema.add_field("source", DataType.INT64)
    schema.add_field("captured_us", DataType.INT64)
    schema.add_field("latitude", DataType.DOUBLE)
    schema.add_field("longitude", DataType.DOUBLE)
    for name in ("tags", "attributes"):
        schema.add_field(name, DataType.ARRAY, element_type=DataType.INT64, max_capacity=_MAX_CODES)
    return schema


def row_of(seq: int, record: Record) -> dict[str, Any]:
    """A record's row.

    Raises:
        GalleryError: more tags or attributes than Milvus can keep.
    """
    vector, exponent = scaled(record.embedding)
    return {
        "seq": seq,
        "id": record.id,
        "enrolled_us": microseconds(record.enrolled_at),
        "embedding": vector,
        "exponent": exponent,
        **field_columns(record.fields),
    }


def field_columns(fields: Fields) -> dict[str, Any]:
    """The columns that hold the user's fields.

    Raises:
        GalleryError: as `row_of`.
    """
    tags, attributes = tag_codes(fields), attribute_codes(fields)
    if max(len(tags), len(attributes)) > _MAX_CODES:
        raise GalleryError(f"Milvus keeps at most {_MAX_CODES} tags and as many attributes of a record")
    is_on_earth = (
        fields.latitude is not None
        and fields.longitude is not None
        and abs(fields.latitude) <= 90
        and abs(fields.longitude) <= 180
    )
    return {
        "identity": text_code(fields.identity),
        "camera": text_code(fields.camera),
        "source": text_code(fields.source),
        "captured_us": NO_TIME if fields.captured_at is None else microseconds(fields.captured_at),
        "latitude": fields.latitude if is_on_earth else _NOWHERE,
        "longitude": fields.longitude if is_on_earth else _NOWHERE,
        "tags": tags,
        "attributes": attributes,
    }


def last_seq_row(last_seq: int, dim: int) -> dict[str, Any]:
    """The row that is no record's."""
    return {
        "seq": LAST_SEQ_ROW,
        "id": "",
        "enrolled_us": last_seq,
        "embedding": np.zeros(dim, np.float32),
        "exponent": 0,
        **field_columns(Fields()),
    }
