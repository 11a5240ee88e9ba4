from datetime import UTC, datetime

import pytest

from index.datasets.manifest import Entry, ManifestError
from index.gallery.entry_fields import columns_not_kept, fields_of
from index.gallery.fields import Fields, FieldsError


def further(**columns: str) -> Entry:
    return Entry("a.png", further=columns)


def test_every_column_has_its_field() -> None:
    entry = Entry(
        "deep/a.png",
        "van",
        "north",
        "gallery",
        "test",
        "2026-05-01T12:00:00+02:00",
        further={
            "latitude": "50.08", "longitude": "-8", "tags": "white; roof rack", "colour": "red", "heading_deg": "12.5",
            "draws": "0 3", "": "17", "weather": "", "note": "  ",
        },
    )  # fmt: skip
    assert fields_of(entry) == Fields(
        "van",
        "north",
        datetime(2026, 5, 1, 10, tzinfo=UTC),
        50.08,
        -8.0,
        ("roof rack", "white"),
        "deep/a.png",
        {"colour": "red", "heading_deg": "12.5"},
    )


@pytest.mark.parametrize("entry", [Entry("a"), Entry("a", further={"latitude": "", "longitude": " ", "tags": ""})])
def test_what_is_not_known_is_no_field_but_the_path(entry: Entry) -> None:
    assert fields_of(entry) == Fields(source="a")


def test_a_column_source_goes_before_the_path_where_it_says_something() -> None:
    assert fields_of(further(source="s3://bucket/1")).source == "s3://bucket/1"
    assert fields_of(further(source=" ")).source == "a.png"


def test_names_are_kept_composed_and_without_spaces_around() -> None:
    entry = Entry("Zoe\u0308.png", " Zoe\u0308 ", further={"colour ": " tu\u0308rkis", "tags": "e\u0301"})
    expected = Fields("Zo\u00eb", source="Zo\u00eb.png", tags=("\u00e9",), attributes={"colour": "t\u00fcrkis"})
    assert fields_of(entry) == expected


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (Entry("a", "v" * 201), "identity: a name has at most 200 characters, not 201"),
        (Entry("a", camera="c" * 201), "camera: a name has at most 200 characters"),
        (Entry("a", "\u200b"), "identity: a name needs at least one visible character"),
        (Entry("a", "van\n1"), "identity: a name cannot hold control characters"),
        (Entry("a" * 1001), "path: a name has at most 1000 characters"),
        (further(source="s" * 1001), "source: a name has at most 1000 characters"),
        (further(tags="x" * 201), "tags: a name has at most 200"),
        (further(tags="[1]"), "tags: tags are texts"),
        (further(tags=",".join(map(str, range(65)))), "tags: a vehicle has at most 64 tags"),
        (further(colour="r" * 201), "the attribute 'colour': a name has at most 200"),
        (further(**{f"column{i}": "x" for i in range(33)}), "at most 32 attributes, not 33"),
        (further(**{"colour": "red", "colour ": "blue"}), "'colour' is there more than once"),
        (Entry("a", captured_at="noon"), "captured_at: a time is RFC 3339 with its zone"),
        (Entry("a", captured_at="2026-05-01"), "captured_at: a time is RFC 3339"),
        (Entry("a", captured_at="2026-W18-5T12:00:00Z"), "captured_at: a time is RFC 3339"),
        (Entry("a", captured_at="2026-05-01T12:00:00"), "captured_at: a time is RFC 3339"),
        (Entry("a", captured_at="20260501T120000Z"), "captured_at: a time is RFC 3339"),
        (Entry("a", captured_at="0001-01-01T00:00:00+01:00"), "captured_at .* outside the years"),
        (further(latitude="north", longitude="1"), "latitude: a number of degrees.*'north'"),
        (further(latitude="nan", longitude="1"), "latitude: a number of degrees.*'nan'"),
        (further(latitude="91", longitude="1"), "latitude: .*between -90 and 90 was expected, not '91'"),
        (further(latitude="9", longitude="-180.5"), "longitude: .*between -180 and 180 was expected, not '-180.5'"),
        (further(latitude="1_0", longitude="1"), "latitude: a number of degrees"),
        (further(latitude="\u0661", longitude="1"), "latitude: a number of degrees"),
        (further(latitude="9"), "latitude and longitude come together"),
    ],
)
def test_a_field_that_no_record_can_have_is_refused(entry: Entry, reason: str) -> None:
    with pytest.raises(FieldsError, match=reason):
        fields_of(entry)


def test_columns_that_hold_something_and_are_not_kept_are_known() -> None:
    entries = [Entry("a", role="train", further={"": "1", "draws": "", "colour": "red"}), Entry("b", split="test")]
    assert columns_not_kept(entries) == ["", "role", "split"]
    assert columns_not_kept([further(source="x", draws="0")]) == ["draws", "path"]
    assert columns_not_kept([Entry("a", "v", "c", further={"source": "", "colour": "red"})]) == []


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (" identity", "the column ' identity' is not called 'identity'"),
        ("Camera", "the column 'Camera' is not called 'camera'"),
        ("Role ", "the column 'Role ' is not called 'role'"),
        ("Latitude", "is not called 'latitude'"),
        ("a:b", "the column 'a:b' cannot be kept as an attribute: .*colon"),
        ("c" * 201, "cannot be kept as an attribute: .*200 characters"),
        ("two\nlines", "cannot be kept as an attribute: .*control characters"),
    ],
)
def test_a_column_that_would_be_lost_or_misunderstood_is_refused(column: str, reason: str) -> None:
    with pytest.raises(ManifestError, match=reason):
        columns_not_kept([Entry("a"), Entry("b", further={column: ""})])
