from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.exif import Exif, parse_exif
from tests.model.tiff_bytes import Tags, exif_block

TIME = {0x9003: "2026:05:01 12:00:00"}
NORTH_EAST: dict[int, str | list[tuple[int, int]]] = {
    1: "N",
    2: [(48, 1), (8, 1), (1440, 100)],
    3: "E",
    4: [(11, 1), (34, 1), (0, 1)],
}
GPS_CLOCK: dict[int, str | list[tuple[int, int]]] = {29: "2026:05:01", 7: [(9, 1), (59, 1), (595, 10)]}


@pytest.mark.parametrize("order", ["<", ">"])
def test_everything_is_read_in_both_byte_orders(order: str) -> None:
    block = exif_block({0x0112: 8}, TIME | {0x9011: "-03:30", 0x9291: "25"}, NORTH_EAST, order)
    zone = timezone(-timedelta(hours=3, minutes=30))
    exif = parse_exif(block)
    assert exif.orientation == 8
    assert exif.captured_at == datetime(2026, 5, 1, 12, 0, 0, 250_000, zone)
    assert exif.captured_at.utcoffset() == zone.utcoffset(None)
    assert exif.latitude == pytest.approx(48 + 8 / 60 + 14.4 / 3600)
    assert exif.longitude == pytest.approx(11 + 34 / 60)
    assert exif.time_note is None
    assert parse_exif(b"Exif\0\0" + block) == parse_exif(block)


@pytest.mark.parametrize("offset", ["+00:00", "Z", "-00:00"])
def test_a_clock_may_show_utc(offset: str) -> None:
    assert parse_exif(exif_block(exif=TIME | {0x9011: offset})).captured_at == datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("offset", [None, "", "+2", "02:00", "+24:00", "+02:60", "   :  ", "MEZ"])
def test_a_time_without_zone_is_not_taken(offset: str | None) -> None:
    exif = parse_exif(exif_block(exif=TIME | ({} if offset is None else {0x9011: offset})))
    assert exif.captured_at is None
    assert exif.time_note == "captured_at was not taken from EXIF: 2026:05:01 12:00:00 has no time zone"


@pytest.mark.parametrize("written", ["2026:02:30 12:00:00", "2026-05-01 12:00:00", "yesterday", "2026:05:01 24:00:00"])
def test_what_is_no_time_is_not_taken(written: str) -> None:
    exif = parse_exif(exif_block(exif={0x9003: written, 0x9011: "+00:00"}))
    assert exif.captured_at is None
    assert exif.time_note == f"captured_at was not taken from EXIF: {written} is not a date and time"


@pytest.mark.parametrize("written", ["", "    :  :     :  :  ", "0000:00:00 00:00:00"])
def test_an_unknown_time_is_not_worth_a_note(written: str) -> None:
    assert parse_exif(exif_block(exif={0x9003: written})) == Exif()


@pytest.mark.parametrize(("written", "offset"), [("0001:01:01 00:00:00", "+10:00"), ("9999:12:31 23:59:59", "-01:00")])
def test_a_time_that_utc_cannot_hold_is_not_taken(written: str, offset: str) -> None:
    assert parse_exif(exif_block(exif={0x9003: written, 0x9011: offset})).captured_at is None


def test_without_a_zone_the_clock_of_the_satellites_counts() -> None:
    exif = parse_exif(exif_block(exif=TIME, gps=GPS_CLOCK))
    assert exif == Exif(captured_at=datetime(2026, 5, 1, 9, 59, 59, 500_000, UTC))


@pytest.mark.parametrize(
    "broken",
    [{29: "2026:13:01"}, {29: ""}, {7: [(24, 1), (0, 1), (0, 1)]}, {7: [(9, 0), (0, 1), (0, 1)]}, {7: [(9, 1)]}],
)
def test_a_broken_clock_of_the_satellites_is_not_taken(broken: Tags) -> None:
    assert parse_exif(exif_block(gps=GPS_CLOCK | dict(broken))).captured_at is None


def test_south_and_west_are_negative() -> None:
    exif = parse_exif(exif_block(gps=NORTH_EAST | {1: "S", 3: "W"}))
    assert exif.latitude == pytest.approx(-48.137333, abs=1e-6)
    assert exif.longitude == pytest.approx(-11.566667, abs=1e-6)


@pytest.mark.parametrize(
    "broken",
    [
        {1: ""},
        {1: "E"},
        {3: "X"},
        {2: [(0, 0), (0, 0), (0, 0)]},
        {2: [(48, 1), (8, 0), (0, 1)]},
        {2: [(90, 1), (1, 1), (0, 1)]},
        {4: [(181, 1), (0, 1), (0, 1)]},
        {4: [(11, 1), (34, 1)]},
        {2: "48 N"},
    ],
)
def test_a_place_that_cannot_be_is_not_taken(broken: Tags) -> None:
    exif = parse_exif(exif_block(gps=NORTH_EAST | dict(broken)))
    assert (exif.latitude, exif.longitude) == (None, None)
    assert exif.place_note == "latitude and longitude were not taken from EXIF: they are incomplete or out of range"


@pytest.mark.parametrize("missing", [1, 2, 3, 4])
def test_a_place_is_taken_whole_or_not_at_all(missing: int) -> None:
    exif = parse_exif(exif_block(gps={tag: value for tag, value in NORTH_EAST.items() if tag != missing}))
    assert (exif.latitude, exif.longitude) == (None, None)
    assert exif.place_note


def test_the_poles_and_the_date_line_are_places() -> None:
    gps = NORTH_EAST | {2: [(90, 1), (0, 1), (0, 1)], 4: [(180, 1), (0, 1), (0, 1)]}
    exif = parse_exif(exif_block(gps=gps))
    assert (exif.latitude, exif.longitude) == (90, 180)


@pytest.mark.parametrize("orientation", [0, 9, 70_000, "6", b"\6"])
def test_an_orientation_that_does_not_exist_is_upright(orientation: int | str | bytes) -> None:
    assert parse_exif(exif_block({0x0112: orientation})).orientation == 1


@pytest.mark.parametrize("block", [b"", b"II*\0", b"Exif\0\0", b"junk that is no TIFF header", b"MM\0*" + b"\xff" * 40])
def test_what_is_no_exif_says_nothing(block: bytes) -> None:
    assert parse_exif(block) == Exif()


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 300), st.binary(min_size=1, max_size=12))
def test_no_broken_block_raises(position: int, junk: bytes) -> None:
    block = exif_block({0x0112: 6}, TIME | {0x9011: "+02:00"}, NORTH_EAST | GPS_CLOCK)
    exif = parse_exif(block[:position] + junk + block[position + len(junk) :])
    assert 1 <= exif.orientation <= 8
    assert (exif.latitude is None) == (exif.longitude is None)
    assert exif.captured_at is None or exif.captured_at.tzinfo is not None
