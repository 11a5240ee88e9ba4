"""Times as whole numbers, microseconds since 1970 in UTC, which are exact; and as texts."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def microseconds(time: datetime) -> int:
    """The number of a time, which has a zone."""
    return (time - _EPOCH) // _MICROSECOND


def time_of(number: int) -> datetime:
    """The time in UTC that has this number of microseconds.

    Raises:
        OverflowError: it lies outside the years 1 to 9999.
    """
    return _EPOCH + number * _MICROSECOND


def rfc3339(time: datetime) -> str:
    """A time in UTC as other programs read it, such as ``2026-05-01T12:00:00Z``."""
    return time.isoformat().replace("+00:00", "Z")
