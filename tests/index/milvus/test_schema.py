from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from index.gallery.errors import GalleryError
from index.gallery.fields import Fields
from index.milvus.field_codes import attribute_code, text_code
from index.milvus.options import MilvusOptions
from index.milvus.schema import INDEXED_COLUMNS, collection_schema, field_columns, last_seq_row, row_of
from tests.index.records import record, vector

FIELDS: dict[str, Any] = {
    "identity": "a",
    "camera": "b",
    "captured_at": datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC),
    "latitude": 48.5,
    "longitude": -11.5,
    "tags": ("x", "y"),
    "source": "1.jpg",
    "attributes": {"colour": "red"},
}
NOTHING = {
    "identity": 0, "camera": 0, "source": 0, "captured_us": -(10**17), "latitude": 1000.0, "longitude": 1000.0,
    "tags": [], "attributes": [],
}  # fmt: skip


def test_a_record_is_a_row() -> None:
    one = record(7, **FIELDS)
    row = row_of(3, one)
    assert np.array_equal(row.pop("embedding"), vector(7))
    assert row == {
        "seq": 3, "id": one.id, "enrolled_us": 1_777_593_607_000_007, "exponent": 0, "identity": text_code("a"),
        "camera": text_code("b"), "source": text_code("1.jpg"), "captured_us": 2_000_000, "latitude": 48.5,
        "longitude": -11.5, "tags": sorted([text_code("x"), text_code("y")]),
        "attributes": [attribute_code("colour", "red")],
    }  # fmt: skip


@pytest.mark.parametrize("fields", [Fields(), Fields(latitude=91, longitude=0), Fields(latitude=0, longitude=-180.1)])
def test_what_is_absent_or_nowhere_on_earth_is_found_by_no_filter(fields: Fields) -> None:
    assert field_columns(fields) == NOTHING


def test_too_many_tags_or_attributes_are_refused() -> None:
    names = [str(number) for number in range(4097)]
    for fields in (Fields(tags=tuple(names)), Fields(attributes=dict.fromkeys(names, "a"))):
        with pytest.raises(GalleryError, match="at most 4096 tags and as many attributes"):
            field_columns(fields)


def test_every_column_of_a_row_is_in_the_schema() -> None:
    options = MilvusOptions("http://milvus:19530", num_partitions=3)
    fields = {field["name"]: field for field in collection_schema(16, options).to_dict()["fields"]}
    assert fields.keys() == row_of(1, record(1)).keys() == last_seq_row(5, 16).keys()
    assert set(INDEXED_COLUMNS) < fields.keys()
    assert [name for name, field in fields.items() if field.get("is_primary")] == ["seq"]
    assert [name for name, field in fields.items() if field.get("is_partition_key")] == ["camera"]
    assert fields["embedding"]["params"]["dim"] == 16


def test_the_row_that_is_no_record_s_keeps_the_highest_seq() -> None:
    row = last_seq_row(5, 16)
    assert not row.pop("embedding").any()
    assert row == {"seq": 0, "id": "", "enrolled_us": 5, "exponent": 0, **NOTHING}
