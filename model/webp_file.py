"""WebP: the picture's chunk alone, taken out of its RIFF container."""

import io
import struct
from collections.abc import Iterator
from typing import Final

from PIL import Image

from model.image_file import DamagedError, ImageError, ImageFile

_LEN_CONTAINER: Final = 12  # "RIFF", the length, "WEBP"
# libwebp keeps two canvases of 4 bytes a pixel, Pillow the frame and its own copy of it.
_BYTES_PER_PIXEL: Final = 19


def open_webp(data: bytes) -> ImageFile:
    """Reads the chunks of a WebP file.

    Metadata never matters, however odd or huge. Alpha is dropped and the colours below it count. WebP has no checksums:
    damage is found only where the file is cut short or libwebp meets what cannot be.

    Raises:
        DamagedError: the file ends before its pixels do.
        ImageError: the file is animated.
    """
    chunks = list(_chunks(data))
    first_of = dict(reversed(chunks))
    num_frames = sum(kind == b"ANMF" for kind, _ in chunks)
    if num_frames > 1:
        raise ImageError("the image is animated: send one still frame")
    if num_frames == 1:
        picture, size = data, _canvas_size(first_of.get(b"VP8X", b""))  # a still image that may be less than its canvas
    else:
        kind = b"VP8L" if b"VP8L" in first_of else b"VP8 "
        pixels = first_of.get(kind, b"")
        picture, size = _container(kind, pixels), _size(kind, pixels)
    return ImageFile(
        *size,
        lambda: Image.open(io.BytesIO(picture), formats=["WEBP"]),
        exif=first_of.get(b"EXIF", b""),
        icc_profile=first_of.get(b"ICCP", b""),
        bytes_per_pixel=_BYTES_PER_PIXEL,
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The kind and the body of every chunk that is whole."""
    position = _LEN_CONTAINER
    while position + 8 <= len(data):
        kind, length = struct.unpack("<4sI", data[position : position + 8])
        end = position + 8 + length
        if end > len(data):
            return
        yield kind, data[position + 8 : end]
        position = end + length % 2


def _container(kind: bytes, pixels: bytes) -> bytes:
    chunk = kind + struct.pack("<I", len(pixels)) + pixels + b"\0" * (len(pixels) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def _size(kind: bytes, pixels: bytes) -> tuple[int, int]:
    """Width and height by the header of the coded picture, lossless or lossy."""
    if kind == b"VP8L" and len(pixels) >= 5:
        bits = int.from_bytes(pixels[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(pixels) >= 10:
        width, height = struct.unpack("<HH", pixels[6:10])
        return width & 0x3FFF, height & 0x3FFF
    raise DamagedError("the WebP file ends before its pixels")


def _canvas_size(body: bytes) -> tuple[int, int]:
    if len(body) < 10:
        raise DamagedError("the WebP file has a frame and no canvas")
    return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
