import hashlib
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from index.record import Fields, FieldsError, ModelKey, box_within, content_hash, record_id
from model.box import Box, BoxError
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


def test_the_box_of_an_id_is_clipped_to_its_image_or_all_of_it() -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    assert box_within(None, pixels) == Box(0, 0, 60, 40)
    assert box_within(Box(10, 5, 20, 30), pixels) == Box(10, 5, 20, 30)
    assert box_within(Box(-5, 20, 30, 30), pixels) == Box(0, 20, 25, 20)
    with pytest.raises(BoxError, match="outside the image of 60 x 40 pixels"):
        box_within(Box(60, 0, 20, 20), pixels)


def test_a_time_is_kept_in_utc_to_the_microsecond() -> None:
    captured_at = Fields(captured_at=datetime(2026, 5, 1, 1, 30, 0, 123_457, tzinfo=CEST)).captured_at
    assert captured_at == datetime(2026, 4, 30, 23, 30, 0, 123_457, tzinfo=UTC)
    assert captured_at.tzinfo is UTC


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(FieldsError, match="time zone"):
        Fields(captured_at=datetime(2026, 5, 1))


@pytest.mark.parametrize(
    "time", [datetime(1, 1, 1, tzinfo=CEST), datetime.max.replace(tzinfo=timezone(-timedelta(1) / 2))]
)
def test_a_time_that_utc_cannot_hold_is_refused(time: datetime) -> None:
    with pytest.raises(FieldsError, match="outside the years 1 to 9999"):
        Fields(captured_at=time)


@pytest.mark.parametrize("fields", [{"latitude": 50.0}, {"longitude": 8.0}, {"latitude": 0.0}])
def test_half_a_position_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(FieldsError, match="latitude and longitude"):
        Fields(**fields)


@pytest.mark.parametrize(("given", "kept"), [(50, "50.0"), (-0.0, "0.0"), (1e-300, "1e-300"), (-90.0, "-90.0")])
def test_a_coordinate_is_a_float_and_never_minus_zero(given: float, kept: str) -> None:
    fields = Fields(latitude=given, longitude=given)
    assert (repr(fields.latitude), repr(fields.longitude)) == (kept, kept)


@pytest.mark.parametrize("fields", [{"identity": "a\0"}, {"camera": "\0a"}, {"tags": ("van", "a\0b")}])
def test_the_character_nul_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(FieldsError, match="NUL"):
        Fields(**fields)


def test_tags_are_sorted_and_each_once() -> None:
    assert Fields(tags=("van", "red", "van", "Red")).tags == ("Red", "red", "van")


def test_differing_names_the_fields_in_the_order_of_the_class() -> None:
    some = Fields("a", "north", datetime(2026, 5, 1, tzinfo=UTC), 50.0, 8.0, ("van",))
    other = Fields("b", "south", datetime(2026, 5, 2, tzinfo=UTC), 51.0, 9.0, ("red",))
    assert some.differing(other) == ["identity", "camera", "captured_at", "latitude", "longitude", "tags"]
    assert some.differing(replace(some, tags=("red",), camera=None)) == ["camera", "tags"]


def test_the_same_instant_and_the_same_tags_do_not_differ() -> None:
    here = Fields(captured_at=datetime(2026, 5, 1, 2, tzinfo=CEST), tags=("van", "red"))
    there = Fields(captured_at=datetime(2026, 5, 1, 0, tzinfo=UTC), tags=("red", "van", "red"))
    assert here.differing(there) == []
    assert here == there


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


@pytest.mark.parametrize("fields", [{"latitude": math.nan, "longitude": 0.0}, {"latitude": 0.0, "longitude": math.inf}])
def test_a_place_that_is_nowhere_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(FieldsError, match="must be a finite number"):
        Fields(**fields)


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "é\udfff"])
def test_what_is_no_text_is_refused(text: str) -> None:
    each: list[dict[str, Any]] = [{"identity": text}, {"camera": text}, {"tags": (text,)}]
    for fields in each:
        with pytest.raises(FieldsError, match="cannot hold NUL or lone surrogates"):
            Fields(**fields)
