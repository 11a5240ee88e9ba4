"""The marker segments of a JPEG file (ITU T.81, annex B)."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from model.image_file import DamagedError

APP0: Final = 0xE0
APP1: Final = 0xE1
APP2: Final = 0xE2
APP14: Final = 0xEE
START_OF_SCAN: Final = 0xDA
# All of C0..CF but DHT, JPG and DAC.
FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

_END_OF_IMAGE: Final = 0xD9
_WITHOUT_BODY: Final = frozenset({0x00, 0x01, *range(0xD0, 0xD9), 0xFF})
_MARKER: Final = re.compile(rb"\xff[\x01-\xfe]")
# Within a scan FF 00 is a data byte, and restart markers are part of the data.
_END_OF_SCAN: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")


class Segment(NamedTuple):
    """A marker, its body without the length, and, after a start of scan, the entropy-coded data."""

    marker: int
    body: bytes
    scan: bytes


def read_segments(data: bytes) -> Iterator[Segment]:
    """The segments of the file's first picture, up to its end marker or to the end of the file.

    Bytes between segments that belong to none are passed over, as libjpeg does. The last segment of a picture that has
    its end marker is the empty one of that marker.

    Raises:
        DamagedError: the file ends within a segment.
    """
    position = 2
    while found := _MARKER.search(data, position):
        marker, start = data[found.start() + 1], found.end()
        if marker == _END_OF_IMAGE:
            yield Segment(marker, b"", b"")
            return
        if marker in _WITHOUT_BODY:
            position = start
            continue
        length = int.from_bytes(data[start : start + 2], "big")
        position = start + length
        if length < 2 or position > len(data):
            raise DamagedError(f"the file ends within the segment of marker 0x{marker:02x}")
        body, scan = data[start + 2 : position], b""
        if marker == START_OF_SCAN:
            end = _END_OF_SCAN.search(data, position)
            scan = data[position : end.start() if end else len(data)]
            position += len(scan)
        yield Segment(marker, body, scan)


def is_end(segment: Segment) -> bool:
    """Whether this is the picture's end marker."""
    return segment.marker == _END_OF_IMAGE
