"""TIFF directories byte by byte: EXIF blocks and TIFF files that Pillow would not write."""

import struct
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Value = str | bytes | int | Sequence[int] | Sequence[tuple[int, int]]
Tags = Mapping[int, Value]


def exif_block(main: Tags | None = None, exif: Tags | None = None, gps: Tags | None = None, order: str = "<") -> bytes:
    """An EXIF block: a TIFF header, the main directory, and those that it points to."""
    main, exif, gps = dict(main or {}), dict(exif or {}), dict(gps or {})
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    main |= {0x8769: 0} if exif else {}
    main |= {0x8825: 0} if gps else {}
    exif_offset = 8 + len(directory(main, 8, order))
    gps_offset = exif_offset + len(directory(exif, exif_offset, order))
    main |= {0x8769: exif_offset} if exif else {}
    main |= {0x8825: gps_offset} if gps else {}
    return header + directory(main, 8, order) + directory(exif, exif_offset, order) + directory(gps, gps_offset, order)


def directory(tags: Tags, offset: int, order: str) -> bytes:
    """The directory of these tags at this offset, the values that do not fit into it behind it; no next one."""
    entries, values = b"", b""
    values_offset = offset + 2 + 12 * len(tags) + 4
    for tag in sorted(tags):
        kind, count, value = _encode(tags[tag], order)
        if len(value) > 4:
            field = struct.pack(order + "I", values_offset + len(values))
            values += value + bytes(len(value) % 2)
        else:
            field = value.ljust(4, b"\0")
        entries += struct.pack(order + "HHI", tag, kind, count) + field
    return struct.pack(order + "H", len(tags)) + entries + bytes(4) + values


def _encode(value: Value, order: str) -> tuple[int, int, bytes]:
    """The type, the number of values and their bytes: texts, bytes, unsigned integers of 32 bits, or rationals."""
    if isinstance(value, str):
        return 2, len(value) + 1, value.encode("latin-1") + b"\0"
    if isinstance(value, bytes):
        return 7, len(value), value
    values = [value] if isinstance(value, int) else value
    packed = b""
    for item in values:
        numbers = item if isinstance(item, tuple) else (item,)
        packed += struct.pack(f"{order}{len(numbers)}I", *numbers)
    return 5 if isinstance(values[0], tuple) else 4, len(values), packed


def tiff_file(tags: Tags, *strips: bytes, order: str = "<") -> bytes:
    """A TIFF file of one directory and these strips."""
    lengths = [len(strip) for strip in strips]
    main: dict[int, Value] = {279: lengths, 259: 1, 277: 1, **tags, 273: lengths}
    start = 8 + len(directory(main, 8, order))
    main[273] = [start + sum(lengths[:index]) for index in range(len(lengths))]
    return (
        (b"II*\0" if order == "<" else b"MM\0*")
        + struct.pack(order + "I", 8)
        + directory(main, 8, order)
        + b"".join(strips)
    )


def tiled_tiff(pixels: NDArray[np.uint8], side: int, order: str) -> bytes:
    """Uncompressed RGB pixels (H, W, 3) in square tiles."""
    height, width, _ = pixels.shape
    rows, columns = -(-height // side), -(-width // side)
    padded = np.zeros((rows * side, columns * side, 3), np.uint8)
    padded[:height, :width] = pixels
    tiles = padded.reshape(rows, side, columns, side, 3).swapaxes(1, 2)
    num_bytes = [side * side * 3] * (rows * columns)
    main: dict[int, Value] = {256: width, 257: height, 258: [8, 8, 8], 259: 1, 262: 2, 277: 3, 322: side, 323: side}
    main |= {325: num_bytes, 324: num_bytes}
    start = 8 + len(directory(main, 8, order))
    main[324] = [start + index * side * side * 3 for index in range(rows * columns)]
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return header + directory(main, 8, order) + tiles.tobytes()


def big_tiff(grey: NDArray[np.uint8]) -> bytes:
    """8-bit grey pixels (H, W) as a BigTIFF file."""
    height, width = grey.shape
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 0, 277: 1, 278: height, 279: grey.size}
    tags[273] = 16 + 8 + 20 * len(tags) + 8
    entries = b"".join(struct.pack("<HHQQ", tag, 16, 1, tags[tag]) for tag in sorted(tags))
    return b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, len(tags)) + entries + bytes(8) + grey.tobytes()
