import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from index.gallery.fields import Fields
from index.gallery.record import ModelKey, content_hash, record_id
from model.box import Box
from tests.index.records import record

CEST = timezone(timedelta(hours=2))


def test_the_id_is_a_hash_of_content_and_box_that_never_changes() -> None:
    content = hashlib.sha256(b"frame").hexdigest()
    expected = hashlib.sha256(f"{content} 1,2,30,40".encode()).hexdigest()[:32]
    assert record_id(content, Box(1, 2, 30, 40)) == expected == "7610ded6ef03212e02e121f57f78807f"


@pytest.mark.parametrize("box", [Box(2, 2, 30, 40), Box(1, 3, 30, 40), Box(1, 2, 31, 40), Box(1, 2, 30, 41)])
def test_another_box_is_another_vehicle(box: Box) -> None:
    assert record_id("c", box) != record_id("c", Box(1, 2, 30, 40))


def test_another_content_is_another_vehicle() -> None:
    assert record_id("c", Box(1, 2, 30, 40)) != record_id("d", Box(1, 2, 30, 40))


def test_content_is_named_by_its_sha256() -> None:
    assert content_hash(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


FULL = record(
    3, identity="a", camera="north", captured_at=datetime(2026, 5, 1, tzinfo=UTC), latitude=50.0, longitude=8.0
)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "0" * 32},
        {"content": "0" * 64},
        {"media_type": "image/jpeg"},
        {"box": Box(0, 0, 60, 41)},
        {"whole_image": False},
        {"fields": replace(FULL.fields, identity=None)},
        {"fields": replace(FULL.fields, camera="a")},
        {"fields": replace(FULL.fields, identity="north", camera="a")},
        {"fields": replace(FULL.fields, captured_at=datetime(2026, 5, 1, 0, 0, 0, 1, tzinfo=UTC))},
        {"fields": replace(FULL.fields, latitude=np.nextafter(50.0, 51.0))},
        {"fields": replace(FULL.fields, longitude=-8.0)},
        {"fields": replace(FULL.fields, tags=("a",))},
        {"fields": replace(FULL.fields, source="a")},
        {"fields": replace(FULL.fields, source="")},
        {"fields": replace(FULL.fields, attributes={"a": "b"})},
        {"fields": replace(FULL.fields, attributes={"": ""})},
        {"model": ModelKey("b" * 64, "float32")},
        {"model": ModelKey("a" * 64, "bf16")},
        {"enrolled_at": FULL.enrolled_at + timedelta(microseconds=1)},
        {"embedding": np.nextafter(FULL.embedding, np.float32(9))},
        {"embedding": FULL.embedding[::-1]},
        {"theta": -FULL.theta},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_the_checksum_covers(changes: dict[str, Any]) -> None:
    assert replace(FULL, **changes).checksum() != FULL.checksum()


def test_the_checksum_does_not_depend_on_how_the_same_values_are_written() -> None:
    same = replace(
        FULL,
        fields=replace(FULL.fields, captured_at=datetime(2026, 5, 1, 2, tzinfo=CEST)),
        enrolled_at=FULL.enrolled_at.astimezone(CEST),
        embedding=np.repeat(FULL.embedding, 2)[::2],
    )
    assert same.checksum() == FULL.checksum()


def test_the_checksum_tells_source_and_attributes_apart() -> None:
    described = [
        Fields(),
        Fields(source="a"),
        Fields(attributes={"a": "b"}),
        Fields(attributes={"b": "a"}),
        Fields(source="a", attributes={"a": "b"}),
        Fields(source="b", attributes={"a": "b"}),
        Fields(attributes={"a": "b", "c": "d"}),
        Fields(attributes={"a": "d", "c": "b"}),
    ]
    assert len({replace(FULL, fields=fields).checksum() for fields in described}) == len(described)
    assert Fields(attributes={"b": "1", "a": "2"}) == Fields(attributes={"a": "2", "b": "1"})


def test_a_record_without_source_and_attributes_has_the_checksum_of_layout_1() -> None:
    assert (
        record(1, identity="a", camera="north").checksum().hex()
        == "96cfa55f9da6d9777b475e4e1475e8c0cc4c65e20687e3a54048c67e122c33ff"
    )
