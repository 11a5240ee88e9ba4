from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.gallery.fields import Fields
from index.gallery.record import ModelKey, Record, record_id
from index.gallery.record_parquet import (
    ParquetError,
    batch_of_records,
    embedding_dim,
    read_records,
    record_schema,
)
from model.box import Box
from tests.index.records import DIM, OTHER_MODELS, record, values, vector

# Whatever a store can hold: all of Unicode but NUL and halves of surrogate pairs.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
nasty = st.sampled_from(["", " ", '"', "'", "\\", ",", "a\nb", "a\r\nb", "\ufeff", "🚗", "NULL", "é", "e\u0301"])
names = st.none() | texts | nasty
times = st.datetimes(timezones=st.just(UTC))
degrees = st.none() | st.tuples(st.floats(-90, 90), st.floats(-180, 180))
floats = st.floats(width=32, allow_nan=False)


@st.composite
def records(draw: st.DrawFn) -> Record:
    content = draw(st.text("0123456789abcdef", min_size=64, max_size=64))
    box = Box(*draw(st.tuples(*[st.integers(-(10**9), 10**9)] * 2, *[st.integers(1, 10**9)] * 2)))
    place = draw(degrees)
    latitude, longitude = place or (None, None)
    fields = Fields(
        draw(names), draw(names), draw(st.none() | times), latitude, longitude, tuple(draw(st.lists(texts | nasty))),
        draw(names), draw(st.dictionaries(texts | nasty, texts | nasty, max_size=4)),
    )  # fmt: skip
    numbers = draw(st.lists(floats, min_size=DIM + 6, max_size=DIM + 6))
    return Record(
        id=record_id(content, box),
        content=content,
        media_type=draw(texts),
        box=box,
        whole_image=draw(st.booleans()),
        fields=fields,
        embedding=np.array(numbers[:DIM], np.float32),
        theta=np.array(numbers[DIM:], np.float32).reshape(2, 3),
        model=ModelKey(draw(texts), draw(texts)),
        enrolled_at=draw(times),
    )


def write(path: Path, items: list[tuple[int, Record]]) -> Path:
    batch = batch_of_records(items)
    with pq.ParquetWriter(path, batch.schema) as writer:
        writer.write_batch(batch)
    return path


@settings(max_examples=60, deadline=None)
@given(st.lists(records(), min_size=1, max_size=5))
def test_every_field_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: list[Record]) -> None:
    items = list(enumerate(rows, start=7))
    path = write(tmp_path_factory.mktemp("parquet") / "records.parquet", items)
    found = list(read_records(path, 2))
    assert [one.seq for one in found] == [seq for seq, _ in items]
    assert [one.record and values(one.record) for one in found] == [values(row) for row in rows]
    assert [one.checksum for one in found] == [row.checksum() for row in rows]
    assert [one.id for one in found] == [row.id for row in rows]


def test_any_bits_of_an_embedding_come_back(tmp_path: Path) -> None:
    bits = np.array([0x7FC00001, 0xFF800000, 0x80000000, 0x00000001, 0x7F7FFFFF, 0xFFC12345], np.uint32)
    embedding = np.resize(bits, DIM).view(np.float32)
    (found,) = read_records(write(tmp_path / "r.parquet", [(1, record(1, embedding=embedding))]), 10)
    assert found.record is not None
    assert found.record.embedding.tobytes() == embedding.tobytes()


def test_other_programs_see_typed_columns(tmp_path: Path) -> None:
    """pyarrow alone."""
    time = datetime(2025, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    fields: dict[str, Any] = {
        "identity": "van 7",
        "captured_at": time,
        "latitude": 50.5,
        "longitude": -8.25,
        "tags": ("b", "a"),
        "attributes": {"pilot": "Kim"},
    }
    path = write(tmp_path / "r.parquet", [(3, record(1, **fields)), (5, record(2, model=OTHER_MODELS[1]))])
    table = pq.read_table(path)
    first, second = table.to_pylist()
    assert first["seq"] == 3
    assert first["box"] == {"x": 0, "y": 0, "w": 60, "h": 40}
    assert first["captured_at"] == time
    assert (first["latitude"], first["longitude"]) == (50.5, -8.25)
    assert first["tags"] == ["a", "b"]
    assert first["attributes"] == [("pilot", "Kim")]
    assert first["embedding"] == vector(1).tolist()
    assert (second["identity"], second["captured_at"], second["precision"]) == (None, None, "bf16")
    assert second["enrolled_at"] == record(2).enrolled_at
    assert table.schema.field("captured_at").type == pa.timestamp("us", "UTC")
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), DIM)
    assert table.schema.field("attributes").type == pa.map_(pa.string(), pa.string())


def test_a_file_of_other_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"seq": [1]}), path)
    for read in (embedding_dim, lambda path: list(read_records(path, 10))):
        with pytest.raises(ParquetError, match="has not the columns of records"):
            read(path)
    assert embedding_dim(write(tmp_path / "r.parquet", [(1, record(1))])) == DIM
    assert record_schema(5).field("embedding").type.list_size == 5


@pytest.mark.parametrize("keep", [0, 3, 100, -1])
def test_a_cut_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path / "r.parquet", [(1, record(1))])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ParquetError, match="is damaged"):
        list(read_records(path, 10))


def test_a_record_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    batch = batch_of_records([(1, record(1)), (2, record(2))])
    table = pa.Table.from_batches([batch])
    column = table.schema.get_field_index("latitude")
    table = table.set_column(column, "latitude", pa.array([1.0, None]))
    pq.write_table(table.cast(batch.schema), tmp_path / "r.parquet")
    first, second = read_records(tmp_path / "r.parquet", 10)
    assert (first.id, first.record) == (record(1).id, None)
    assert second.record is not None
