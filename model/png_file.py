"""PNG: a copy with only the chunks that make the picture. Their checksums are verified; Pillow skips those of IDAT."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from PIL import Image

from model.color_profile import MAX_PROFILE_BYTES
from model.image_file import DamagedError, ImageError, ImageFile

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
# Colour types.
_PALETTE: Final = 3
_GREY_WITH_ALPHA: Final = 4
_LEN_HEADER: Final = 13


class _Chunk(NamedTuple):
    kind: bytes
    body: bytes
    intact: bool
    complete: bool


def open_png(data: bytes) -> ImageFile:
    """Reads the chunks of a PNG file.

    Ancillary chunks never matter, however odd, huge or damaged, but for an intact colour profile and EXIF block.
    Transparency is left out: alpha is dropped and the colours below it count. A file whose pixels are all there and
    whose end is not is read.

    Raises:
        DamagedError: the header, the palette or the compressed pixels fail their checksum, or are missing.
        ImageError: the file is animated, or of Apple's own kind.
    """
    header, palette, profile, exif = b"", b"", b"", b""
    pixels: list[bytes] = []
    for chunk in _chunks(data):
        if chunk.kind == b"CgBI":
            raise ImageError("the file is a PNG of Apple's own kind (CgBI): save it as a standard PNG or as JPEG")
        if chunk.kind == b"IHDR" and not header:
            _check(chunk)
            header = chunk.body
        elif chunk.kind == b"PLTE" and header[9:10] == bytes([_PALETTE]):
            _check(chunk)
            palette = _encode_chunk(b"PLTE", chunk.body)
        elif chunk.kind == b"IDAT":
            if chunk.complete:
                _check(chunk)
            pixels.append(chunk.body)
        elif chunk.kind == b"acTL" and chunk.intact and len(chunk.body) == 8 and chunk.body[:4] > b"\0\0\0\1":
            raise ImageError("the image is animated: send one still frame")
        elif chunk.kind == b"iCCP" and chunk.intact and not profile:  # of several the first counts
            profile = _unpack_profile(chunk.body)
        elif chunk.kind == b"eXIf" and chunk.intact:
            exif = chunk.body
    if len(header) != _LEN_HEADER or not pixels:
        raise DamagedError("the PNG file ends before its pixels")
    width, height = struct.unpack(">II", header[:8])
    chunks = [
        _encode_chunk(b"IHDR", header),
        palette,
        _encode_chunk(b"IDAT", b"".join(pixels)),
        _encode_chunk(b"IEND", b""),
    ]
    picture = SIGNATURE + b"".join(chunks)
    is_grey = header[9] == _GREY_WITH_ALPHA
    return ImageFile(width, height, lambda: _decode(picture, is_grey=is_grey), exif, profile)


def _decode(picture: bytes, *, is_grey: bool) -> Image.Image:
    image = Image.open(io.BytesIO(picture), formats=["PNG"])
    # Pillow makes RGBA of grey with alpha of 16 bits, to which no profile for grey would belong.
    return image.getchannel(0) if is_grey and image.mode == "RGBA" else image


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """The chunks up to IEND or the end of the file; the last one may be cut short."""
    position = len(SIGNATURE)
    while position + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        end = position + 8 + length
        body, checksum = data[position + 8 : end], data[end : end + 4]
        intact = checksum == struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))
        yield _Chunk(kind, body, intact, complete=len(checksum) == 4)
        if kind == b"IEND":
            return
        position = end + 4


def _check(chunk: _Chunk) -> None:
    if not chunk.intact:
        raise DamagedError(f"the checksum of the PNG file's {chunk.kind.decode()} chunk is wrong")


def _encode_chunk(kind: bytes, body: bytes) -> bytes:
    return b"".join([struct.pack(">I", len(body)), kind, body, struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))])


def _unpack_profile(body: bytes) -> bytes:
    """The profile of an iCCP chunk (name, zero, method 0, zlib data); empty if it is broken or too large."""
    _, _, packed = body.partition(b"\0")
    decompressor = zlib.decompressobj()
    try:
        profile = decompressor.decompress(packed[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return b""
    return profile if decompressor.eof else b""
