from datetime import UTC, datetime, timedelta, timezone

import pytest

from index.gallery.timestamp import microseconds, rfc3339, time_of


@pytest.mark.parametrize(
    ("time", "number"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC), 1),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), -1),
        (datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC), 10**15),
        (datetime(2001, 9, 9, 3, 46, 40, 999_999, tzinfo=timezone(timedelta(hours=2))), 10**15 + 999_999),
        (datetime(1, 1, 1, tzinfo=UTC), -62_135_596_800_000_000),
        (datetime.max.replace(tzinfo=UTC), 253_402_300_799_999_999),
    ],
)
def test_a_time_is_a_number_and_back_to_the_microsecond(time: datetime, number: int) -> None:
    assert microseconds(time) == number
    assert time_of(number) == time
    assert time_of(number).tzinfo is UTC


@pytest.mark.parametrize("number", [253_402_300_800_000_000, -62_135_596_800_000_001, 2**63 - 1])
def test_a_number_beyond_every_year_is_refused(number: int) -> None:
    with pytest.raises(OverflowError):
        time_of(number)


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (datetime(2026, 5, 1, 12, tzinfo=UTC), "2026-05-01T12:00:00Z"),
        (datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC), "2026-05-01T12:00:00.250000Z"),
    ],
)
def test_as_a_text_it_is_rfc_3339(time: datetime, text: str) -> None:
    assert rfc3339(time) == text
