import json
import math
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.gallery.fields import (
    MAX_ATTRIBUTES,
    MAX_NAME,
    MAX_SOURCE,
    MAX_TAGS,
    Fields,
    FieldsError,
    check_tags,
    read_attributes,
    read_degrees,
    read_name,
    read_source,
    read_tags,
    read_time,
    shorten,
)

CEST = timezone(timedelta(hours=2))


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


def test_attributes_are_sorted_by_name_and_compared_by_value() -> None:
    given_attributes = {"make": "vw", "colour": "red"}
    fields = Fields(attributes=given_attributes)
    assert list(fields.attributes.items()) == [("colour", "red"), ("make", "vw")]
    given_attributes["colour"] = "blue"
    assert fields.attributes["colour"] == "red"
    assert fields.differing(Fields(source="a.jpg", attributes={"colour": "red"})) == ["source", "attributes"]


@pytest.mark.parametrize(
    "fields", [{"source": "a\0"}, {"attributes": {"a\0": "b"}}, {"attributes": {"a": "\ud800"}}, {"source": "é\udfff"}]
)
def test_source_and_attributes_hold_neither_nul_nor_halves_of_characters(fields: dict[str, Any]) -> None:
    with pytest.raises(FieldsError, match="cannot hold NUL or lone surrogates"):
        Fields(**fields)


def test_what_is_empty_is_filled_and_what_was_said_stays() -> None:
    time, other = datetime(2026, 5, 1, tzinfo=UTC), datetime(2025, 5, 1, tzinfo=UTC)
    assert Fields().filled(time, 50.0, 8.0) == Fields(captured_at=time, latitude=50.0, longitude=8.0)
    assert Fields(captured_at=other).filled(time, None, 8.0) == Fields(captured_at=other)
    said = Fields(latitude=1.0, longitude=2.0)
    assert said.filled(None, 50.0, 8.0) == said


# --- names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("v1", "v1"),
        ("  v1\t", "v1"),
        ("v1\r\n", "v1"),
        ("\u00a0v 1\u2003", "v 1"),
        ("Zoe\u0308", "Zoë"),
        ("\u200fvan 7\u200e", "van 7"),
        ("\ufeffv1", "v1"),
        ("\U0001fae8", "\U0001fae8"),
        ("\u0647\u200d", "\u0647\u200d"),
        ("\u1100\u1161", "가"),
        ("👨\u200d👩", "👨\u200d👩"),
        ("a" * MAX_NAME, "a" * MAX_NAME),
        (" " * 9 + "e\u0301" * MAX_NAME, "é" * MAX_NAME),
    ],
)
def test_a_name_is_composed_and_has_no_spaces_at_its_ends(text: str, name: str) -> None:
    assert read_name(text) == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "visible"),
        (" \t\n", "visible"),
        ("\u200b", "visible"),
        ("\u2066\u2069\ufeff", "visible"),
        ("a" * (MAX_NAME + 1), "at most 200 characters, not 201"),
        ("a\nb", "control"),
        ("a\0b", "control"),
        ("a\x7fb", "control"),
        ("a\x85b", "control"),
        ("a\u2028b", "line breaks"),
        ("\u3164", "visible"),
        ("\u2800\ufe0f", "visible"),
        ("a" + "\u0315\u0300" * 500_000, "at most 200 characters"),
        ("a" + " " * 500_000 + "b", "at most 200 characters"),
        ("a\ud800", "control characters, line breaks or lone surrogates"),
    ],
)
def test_what_is_no_name_is_refused(text: str, message: str) -> None:
    with pytest.raises(FieldsError, match=message):
        read_name(text)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(text=st.text(max_size=20))
def test_every_way_to_write_a_name_is_read_as_the_same(text: str) -> None:
    try:
        name = read_name(text)
    except FieldsError:
        return
    for form in ("NFC", "NFD"):
        assert read_name(f"\t{unicodedata.normalize(form, text)} ") == name
    assert read_name(name) == name
    assert Fields(identity=name, camera=name, tags=(name,), source=name, attributes={name: name}).identity == name


def test_a_source_is_a_longer_name() -> None:
    assert read_source(" flight 1/" + "a" * 980) == "flight 1/" + "a" * 980
    with pytest.raises(FieldsError, match="at most 1000"):
        read_source("a" * (MAX_SOURCE + 1))


# --- times


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-05-01T12:00:00Z", datetime(2026, 5, 1, 12, tzinfo=UTC)),
        ("2026-05-01t12:00:00z", datetime(2026, 5, 1, 12, tzinfo=UTC)),
        ("2026-05-01 12:00:00+02:00", datetime(2026, 5, 1, 10, tzinfo=UTC)),
        ("2026-05-01T12:00:00.5-00:30", datetime(2026, 5, 1, 12, 30, 0, 500_000, tzinfo=UTC)),
        ("2024-02-29T23:59:59.123456789Z", datetime(2024, 2, 29, 23, 59, 59, 123_456, tzinfo=UTC)),
    ],
)
def test_a_time_is_rfc_3339(text: str, time: datetime) -> None:
    assert read_time(text) == time


@pytest.mark.parametrize(
    "text",
    [
        "", "2026-05-01", "2026-05-01T12:00:00", "2026-05-01T12:00Z", "2026-W18-5T12:00:00Z", "20260501T120000Z",
        "2026-02-29T12:00:00Z", "2026-05-01T24:00:00Z", "2026-05-01T12:00:60Z", "2026-05-01T12:00:00+25:00",
        "1777636800", "now", " 2026-05-01T12:00:00Z", "2026-05-01T12:00:00Z\n", "٢٠٢٦-05-01T12:00:00Z",
        "0000-01-01T00:00:00Z", "2026-05-01T12:00:00.Z", "2026-05-01T12:00:00,5Z", "2026-05-01T12:00:00 Z",
        "2026-05-01T12:00:00+02:60",
    ],
)  # fmt: skip
def test_what_is_no_rfc_3339_time_is_refused(text: str) -> None:
    with pytest.raises(FieldsError, match="a time is RFC 3339 with its zone"):
        read_time(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("2026-05-01T12:00:00 02:00", "%2B"),
        ("2026-06-30T23:59:60Z", "leap second"),
        ("2026-02-29T12:00:00Z", "no such time"),
    ],
)
def test_a_common_slip_with_a_time_is_named(text: str, hint: str) -> None:
    with pytest.raises(FieldsError, match=hint):
        read_time(text)


# --- degrees


@pytest.mark.parametrize(("text", "most", "degrees"), [("90", 90, 90.0), ("-180.0", 180, -180.0), ("1e-3", 90, 0.001)])
def test_degrees_are_a_decimal_number(text: str, most: int, degrees: float) -> None:
    assert read_degrees(text, most) == degrees


@pytest.mark.parametrize("text", ["90.0000001", "-91", "nan", "inf", "1_0", " 1", "1 ", "", "٤", "0x1", "1e999", "50°"])
def test_what_is_no_number_of_degrees_is_refused(text: str) -> None:
    with pytest.raises(FieldsError, match="between -90 and 90 was expected"):
        read_degrees(text, 90)


# --- tags


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("", ()),
        ("van", ("van",)),
        ("van, red ;ÖPNV,", ("van", "red", "ÖPNV")),
        ('["van", "red,blue"]', ("van", "red,blue")),
        ("  []", ()),
        ('["gro\\u0308n"]', ("grön",)),
    ],
)
def test_tags_are_a_json_array_or_names_between_commas(text: str, tags: tuple[str, ...]) -> None:
    assert read_tags(text) == tags


@pytest.mark.parametrize(
    "text",
    [
        "[", "[1]", "[null]", '["a", ["b"]]', '[""]', '["a\\u0000"]', '["\\ud800"]', "a\nb", "a" * 201, '["a"] x',
        "[" * 100_000, "[" + "9" * 5000 + "]",
    ],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_what_are_no_tags_is_refused(text: str) -> None:
    with pytest.raises(FieldsError):
        read_tags(text)


def test_more_tags_than_a_vehicle_has_are_refused() -> None:
    names = [str(i) for i in range(MAX_TAGS + 1)]
    assert check_tags(names[:-1]) == tuple(names[:-1])
    for text in (",".join(names), json.dumps(names)):
        with pytest.raises(FieldsError, match="at most 64 tags, not 65"):
            read_tags(text)


# --- attributes


def test_attributes_are_names_by_name() -> None:
    assert read_attributes({" colour": "red ", "Zoe\u0308": "1"}) == {"colour": "red", "Zoë": "1"}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"a:b": "c"}, "colon"),
        ({"a": "1", " a": "2"}, "'a' is there more than once"),
        ({"é": "1", "e\u0301": "1"}, "more than once"),
        ({"": "1"}, "visible"),
        ({"a": " "}, "the attribute 'a': .*visible"),
        ({"a": "x" * 201}, "the attribute 'a': .*at most 200"),
        ({"a\nb": "x"}, "control"),
        ({str(i): "x" for i in range(MAX_ATTRIBUTES + 1)}, "at most 32 attributes, not 33"),
    ],
)
def test_what_are_no_attributes_is_refused(texts: dict[str, str], message: str) -> None:
    with pytest.raises(FieldsError, match=message):
        read_attributes(texts)


def test_a_long_value_is_shortened_in_messages() -> None:
    assert shorten("a") == "'a'"
    assert shorten("a" * 1000) == "'" + "a" * 76 + "..."
    assert len(shorten("a" * 78)) == 80
