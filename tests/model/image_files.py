"""Image files for tests, and ways to damage them."""

import io
import struct
import zlib

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def encoded(pixels: NDArray[np.generic] | Image.Image, image_format: str, **options: object) -> bytes:
    """A file as close to the pixels as its format can be."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    if image_format == "HEIC":
        return heic(image, **options)
    defaults: dict[str, dict[str, object]] = {
        "JPEG": {"quality": 98, "subsampling": 0},
        "WEBP": {"lossless": True, "exact": True},
        "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    }
    buffer = io.BytesIO()
    image.save(buffer, image_format, **(defaults.get(image_format, {}) | options))
    return buffer.getvalue()


def heic(image: Image.Image, **options: object) -> bytes:
    profile = options.pop("icc_profile", None)
    if profile:
        image = image.copy()
        image.info["icc_profile"] = profile
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=-1, chroma=444, **options)
    return buffer.getvalue()


def stored(upright: Pixels, orientation: int) -> Pixels:
    """What a camera of this EXIF orientation writes: row 0 and column 0 of the file lie where the standard says."""
    turned = {
        1: upright,  # top, left
        2: upright[:, ::-1],  # top, right
        3: upright[::-1, ::-1],  # bottom, right
        4: upright[::-1],  # bottom, left
        5: upright.transpose(1, 0, 2),  # left, top
        6: upright.transpose(1, 0, 2)[::-1],  # right, top
        7: upright.transpose(1, 0, 2)[::-1, ::-1],  # right, bottom
        8: upright.transpose(1, 0, 2)[:, ::-1],  # left, bottom
    }[orientation]
    return np.ascontiguousarray(turned)


def jpeg_segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(body)) + body


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """A JPEG file with further segments right after its start marker."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def scan_start(jpeg: bytes) -> int:
    """Where the entropy-coded data of the first scan begins."""
    marker = jpeg.index(b"\xff\xda")
    return marker + 2 + int.from_bytes(jpeg[marker + 2 : marker + 4], "big")


def png_chunk(kind: bytes, body: bytes, *, damaged: bool = False) -> bytes:
    checksum = zlib.crc32(kind + body) ^ (1 if damaged else 0)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """A PNG file with further chunks right after its header."""
    header_end = 8 + 25
    return png[:header_end] + b"".join(chunks) + png[header_end:]


def changed(data: bytes, position: int, value: int | None = None) -> bytes:
    """The file with one other byte: its inverse, unless another is given."""
    byte = data[position] ^ 0xFF if value is None else value
    return data[:position] + bytes([byte]) + data[position + 1 :]


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def riff_chunks(webp: bytes) -> list[tuple[bytes, bytes]]:
    chunks, position = [], 12
    while position + 8 <= len(webp):
        kind, length = struct.unpack("<4sI", webp[position : position + 8])
        chunks.append((kind, webp[position + 8 : position + 8 + length]))
        position += 8 + length + length % 2
    return chunks
