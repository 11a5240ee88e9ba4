"""Records as Parquet: every field in a column of its own type, so that any reader of Parquet understands them.

seq             int64, the order of enrolment
box             struct of x, y, w, h
whole_image     bool
captured_at, enrolled_at    timestamp in microseconds, UTC
latitude, longitude         double
tags, attributes            list of string, map of string to string
embedding, theta            list of D and of 6 float
checksum        binary
id, content, media_type, identity, camera, source, fingerprint, precision    string
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from index.gallery.errors import GalleryError
from index.gallery.fields import Fields
from index.gallery.record import ModelKey, Record
from index.gallery.timestamp import microseconds, time_of
from model.box import Box

_TIME: Final = pa.timestamp("us", "UTC")
_BOX: Final = pa.struct([(side, pa.int64()) for side in "xywh"])


class ParquetError(GalleryError):
    """A Parquet file that cannot be read as records."""


class StoredRecord(NamedTuple):
    """A record as a file has it: with its number in the order of enrolment and the checksum that it was written with.

    `record` is None if its fields cannot be read; `id` is what the file says.
    """

    seq: int
    id: str
    record: Record | None
    checksum: bytes


def record_schema(embedding_dim: int) -> pa.Schema:
    """The columns of records with embeddings (D,)."""
    return pa.schema(
        [
            pa.field("seq", pa.int64(), nullable=False),
            pa.field("id", pa.string(), nullable=False),
            pa.field("content", pa.string(), nullable=False),
            pa.field("media_type", pa.string(), nullable=False),
            pa.field("box", _BOX, nullable=False),
            pa.field("whole_image", pa.bool_(), nullable=False),
            pa.field("identity", pa.string()),
            pa.field("camera", pa.string()),
            pa.field("captured_at", _TIME),
            pa.field("latitude", pa.float64()),
            pa.field("longitude", pa.float64()),
            pa.field("tags", pa.list_(pa.string()), nullable=False),
            pa.field("source", pa.string()),
            pa.field("attributes", pa.map_(pa.string(), pa.string()), nullable=False),
            pa.field("fingerprint", pa.string(), nullable=False),
            pa.field("precision", pa.string(), nullable=False),
            pa.field("enrolled_at", _TIME, nullable=False),
            pa.field("embedding", pa.list_(pa.float32(), embedding_dim), nullable=False),
            pa.field("theta", pa.list_(pa.float32(), 6), nullable=False),
            pa.field("checksum", pa.binary(), nullable=False),
        ]
    )


def batch_of_records(records: Sequence[tuple[int, Record]]) -> pa.RecordBatch:
    """(seq, record) of records whose embeddings have one size, as rows."""
    seqs = [seq for seq, _ in records]
    rows = [record for _, record in records]
    fields = [record.fields for record in rows]
    embeddings = np.stack([record.embedding for record in rows])
    thetas = np.stack([record.theta.reshape(6) for record in rows])
    columns: dict[str, Any] = {
        "seq": seqs,
        "id": [record.id for record in rows],
        "content": [record.content for record in rows],
        "media_type": [record.media_type for record in rows],
        "box": [{side: getattr(record.box, side) for side in "xywh"} for record in rows],
        "whole_image": [record.whole_image for record in rows],
        "identity": [one.identity for one in fields],
        "camera": [one.camera for one in fields],
        "captured_at": [None if one.captured_at is None else microseconds(one.captured_at) for one in fields],
        "latitude": [one.latitude for one in fields],
        "longitude": [one.longitude for one in fields],
        "tags": [list(one.tags) for one in fields],
        "source": [one.source for one in fields],
        "attributes": [list(one.attributes.items()) for one in fields],
        "fingerprint": [record.model.fingerprint for record in rows],
        "precision": [record.model.precision for record in rows],
        "enrolled_at": [microseconds(record.enrolled_at) for record in rows],
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel()), embeddings.shape[1]),
        "theta": pa.FixedSizeListArray.from_arrays(pa.array(thetas.ravel()), 6),
        "checksum": [record.checksum() for record in rows],
    }
    schema = record_schema(embeddings.shape[1])
    arrays = [
        values if isinstance(values, pa.Array) else pa.array(values, schema.field(name).type)
        for name, values in columns.items()
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def read_records(path: Path, batch_rows: int) -> Iterator[StoredRecord]:
    """The records of a file in its order, `batch_rows` of them in memory at a time.

    Raises:
        ParquetError: it cannot be read, or has other columns.
    """
    try:
        with pq.ParquetFile(path) as file:
            embedding_dim(path)
            for batch in file.iter_batches(batch_rows):
                yield from _records_of(batch)
    except (pa.ArrowException, OSError) as error:
        raise ParquetError(f"{path} is damaged: {' '.join(str(error).split())}") from error


def embedding_dim(path: Path) -> int:
    """The D of the embeddings in a file.

    Raises:
        ParquetError: it cannot be read, or has other columns than records have.
    """
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise ParquetError(f"{path} is damaged: {' '.join(str(error).split())}") from error
    type_ = schema.field("embedding").type if "embedding" in schema.names else None
    if not isinstance(type_, pa.FixedSizeListType) or not schema.equals(record_schema(type_.list_size)):
        raise ParquetError(f"{path} has not the columns of records: python -m index.parquet export writes them")
    return int(type_.list_size)


def _records_of(batch: pa.RecordBatch) -> Iterator[StoredRecord]:
    embeddings, thetas = (_matrix(batch.column(name)) for name in ("embedding", "theta"))
    times = {name: batch.column(name).cast(pa.int64()).to_pylist() for name in ("captured_at", "enrolled_at")}
    plain = [name for name in batch.schema.names if name not in ("embedding", "theta", *times)]
    rows = batch.select(plain).to_pylist()
    for i, row in enumerate(rows):
        row |= {name: values[i] for name, values in times.items()}
        yield StoredRecord(row["seq"], row["id"], _record(row, embeddings[i], thetas[i]), row["checksum"])


def _record(row: dict[str, Any], embedding: NDArray[np.float32], theta: NDArray[np.float32]) -> Record | None:
    try:
        captured_at = None if row["captured_at"] is None else time_of(row["captured_at"])
        return Record(
            id=row["id"],
            content=row["content"],
            media_type=row["media_type"],
            box=Box(**row["box"]),
            whole_image=row["whole_image"],
            fields=Fields(
                row["identity"],
                row["camera"],
                captured_at,
                row["latitude"],
                row["longitude"],
                tuple(row["tags"]),
                row["source"],
                dict(row["attributes"]),
            ),
            embedding=embedding.copy(),
            theta=theta.copy().reshape(2, 3),
            model=ModelKey(row["fingerprint"], row["precision"]),
            enrolled_at=time_of(row["enrolled_at"]),
        )
    except (ValueError, TypeError, OverflowError):
        return None


def _matrix(column: pa.FixedSizeListArray) -> NDArray[np.float32]:
    """The lists of a column as rows; bit for bit."""
    if column.null_count or column.flatten().null_count:
        raise pa.ArrowInvalid("a list of numbers has gaps")
    numbers: NDArray[np.float32] = column.flatten().to_numpy(zero_copy_only=True)
    return numbers.reshape(len(column), column.type.list_size)
