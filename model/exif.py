"""What the EXIF block of an image file says (CIPA DC-008): how it is turned, when and where it was taken."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, NamedTuple

from model.image_file import DamagedError
from model.tiff_directory import Entry, TiffDirectories

_ORIENTATION: Final = 0x0112
_EXIF_DIRECTORY: Final = 0x8769
_DATE_TIME_ORIGINAL: Final = 0x9003
_OFFSET_TIME_ORIGINAL: Final = 0x9011
_SUB_SEC_TIME_ORIGINAL: Final = 0x9291
_GPS_DIRECTORY: Final = 0x8825
_GPS_LATITUDE_REF: Final = 1
_GPS_LATITUDE: Final = 2
_GPS_LONGITUDE_REF: Final = 3
_GPS_LONGITUDE: Final = 4
_GPS_TIME_STAMP: Final = 7
_GPS_DATE_STAMP: Final = 29

_DATE_TIME: Final = re.compile(r"[0-9]{4}:[0-9]{2}:[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")
_DATE: Final = re.compile(r"[0-9]{4}:[0-9]{2}:[0-9]{2}")
_OFFSET: Final = re.compile(r"([+-])([0-9]{2}):([0-9]{2})")
_DIGITS: Final = re.compile(r"[0-9]+")
_UNKNOWN: Final = frozenset(" :0")  # blanks or zeros in a date say that it is not known

_Directory = dict[int, Entry]


class Exif(NamedTuple):
    """What was taken from an EXIF block; None where it says nothing, or nothing that can be true.

    `orientation` is 1 to 8. `captured_at` has a time zone. `latitude` and `longitude` are in degrees, north and east
    positive, and there are both or neither. The notes say what was not taken and why.
    """

    orientation: int = 1
    captured_at: datetime | None = None
    latitude: float | None = None
    longitude: float | None = None
    time_note: str | None = None
    place_note: str | None = None


def parse_exif(block: bytes) -> Exif:
    """Reads an EXIF block, or a whole TIFF file, which is one. Never raises; what is broken is as if it were absent."""
    try:
        directories = TiffDirectories(block.removeprefix(b"Exif\0\0"))
    except DamagedError:
        return Exif()
    main = directories.read(directories.first)
    orientation = next(iter(directories.integers(main.get(_ORIENTATION))), 1)
    exif = _directory(directories, main, _EXIF_DIRECTORY)
    gps = _directory(directories, main, _GPS_DIRECTORY)
    captured_at, time_note = _captured_at(directories, exif, gps)
    position, place_note = _position(directories, gps)
    latitude, longitude = position or (None, None)
    return Exif(
        orientation if 1 <= orientation <= 8 else 1,
        captured_at,
        latitude,
        longitude,
        time_note,
        place_note,
    )


def _directory(directories: TiffDirectories, main: _Directory, tag: int) -> _Directory:
    offsets = directories.integers(main.get(tag))
    return directories.read(offsets[0]) if offsets and offsets[0] > 0 else {}


def _captured_at(directories: TiffDirectories, exif: _Directory, gps: _Directory) -> tuple[datetime | None, str | None]:
    """The time of capture by the camera's clock and zone, else by GPS, and a note if there is neither."""
    written = directories.text(exif.get(_DATE_TIME_ORIGINAL))
    clock = _clock_time(written, directories.text(exif.get(_SUB_SEC_TIME_ORIGINAL)))
    zone = _zone(directories.text(exif.get(_OFFSET_TIME_ORIGINAL)))
    if clock and zone:
        try:
            clock.replace(tzinfo=zone).astimezone(UTC)
        except OverflowError:  # before the year 1 or after 9999 in UTC
            clock = None
        else:
            return clock.replace(tzinfo=zone), None
    satellite_time = _gps_time(directories, gps)
    if satellite_time:
        return satellite_time, None
    if set(written) <= _UNKNOWN:
        return None, None
    reason = "has no time zone" if clock else "is not a date and time"
    return None, f"captured_at was not taken from EXIF: {written[:40]} {reason}"


def _clock_time(written: str, fraction: str) -> datetime | None:
    """The date and time without a zone; the fraction is the digits after the seconds' point."""
    if not _DATE_TIME.fullmatch(written):
        return None
    microsecond = int(fraction[:6].ljust(6, "0")) if _DIGITS.fullmatch(fraction) else 0
    try:
        return datetime.strptime(written, "%Y:%m:%d %H:%M:%S").replace(microsecond=microsecond)
    except ValueError:
        return None


def _zone(written: str) -> timezone | None:
    found = _OFFSET.fullmatch(written)
    if written == "Z":
        return UTC
    if not found or int(found[2]) > 23 or int(found[3]) > 59:
        return None
    offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(-offset if found[1] == "-" else offset)


def _gps_time(directories: TiffDirectories, gps: _Directory) -> datetime | None:
    date = directories.text(gps.get(_GPS_DATE_STAMP))
    hours_minutes_seconds = _quotients(directories, gps.get(_GPS_TIME_STAMP))
    if not _DATE.fullmatch(date) or hours_minutes_seconds is None:
        return None
    hours, minutes, seconds = hours_minutes_seconds
    if hours >= 24 or minutes >= 60 or seconds >= 61:
        return None
    try:
        midnight = datetime.strptime(date, "%Y:%m:%d").replace(tzinfo=UTC)
        return midnight + timedelta(hours=hours, minutes=minutes, microseconds=round(seconds * 1e6))
    except (ValueError, OverflowError):
        return None


def _position(directories: TiffDirectories, gps: _Directory) -> tuple[tuple[float, float] | None, str | None]:
    if _GPS_LATITUDE not in gps and _GPS_LONGITUDE not in gps:
        return None, None
    latitude = _degrees(directories, gps.get(_GPS_LATITUDE), gps.get(_GPS_LATITUDE_REF), "NS", 90)
    longitude = _degrees(directories, gps.get(_GPS_LONGITUDE), gps.get(_GPS_LONGITUDE_REF), "EW", 180)
    if latitude is None or longitude is None:
        return None, "latitude and longitude were not taken from EXIF: they are incomplete or out of range"
    return (latitude, longitude), None


def _degrees(
    directories: TiffDirectories, value: Entry | None, reference: Entry | None, directions: str, limit: int
) -> float | None:
    parts = _quotients(directories, value)
    direction = directories.text(reference).upper()
    if parts is None or direction not in tuple(directions):
        return None
    degrees = parts[0] + parts[1] / 60 + parts[2] / 3600
    if degrees > limit:
        return None
    return -degrees if direction == directions[1] else degrees


def _quotients(directories: TiffDirectories, entry: Entry | None) -> tuple[float, float, float] | None:
    """Three fractions that are not negative, such as degrees, minutes and seconds."""
    rationals = directories.rationals(entry)
    if len(rationals) != 3 or any(denominator == 0 for _, denominator in rationals):
        return None
    first, second, third = (numerator / denominator for numerator, denominator in rationals)
    return (first, second, third) if min(first, second, third) >= 0 else None
