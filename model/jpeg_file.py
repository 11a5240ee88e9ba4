"""JPEG: a copy with only the segments that make the picture, decoded by a reader that raises libjpeg's warnings.

By these libjpeg says that the entropy-coded data is broken. Pillow ignores them and shows grey or shifted blocks. There
are no warnings about metadata, since the copy has none.
"""

import io
import struct
from typing import Final, NamedTuple

import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from numpy.typing import NDArray
from PIL import Image

from model.image_file import DamagedError, ImageError, ImageFile
from model.jpeg_segments import APP0, APP1, APP2, APP14, FRAMES, START_OF_SCAN, Segment, is_end, read_segments

_START_OF_IMAGE: Final = b"\xff\xd8"
_END_OF_IMAGE: Final = b"\xff\xd9"
_TABLES: Final = frozenset({0xC4, 0xCC, 0xDB, 0xDD})  # Huffman, arithmetic, quantization, restart interval
_SEQUENTIAL: Final = frozenset({0xC0, 0xC1, 0xC9})
_EXIF: Final = b"Exif\0\0"
_ICC: Final = b"ICC_PROFILE\0"
# JFIF and Adobe segments say what the components are. Only that is kept of them: libjpeg warns of odd versions.
_JFIF_BODY: Final = b"JFIF\0" + bytes([1, 1, 0, 0, 1, 0, 1, 0, 0])
_ADOBE_BODY: Final = b"Adobe" + bytes([0, 100, 0, 0, 0, 0])
_LEN_JFIF: Final = 14
_LEN_ADOBE: Final = 12
# A scan of a few bytes may say that nothing changes in all of a large picture, and takes as long as any other.
# Programs write up to about a dozen; a picture of 100 million pixels with this many is decoded in some seconds.
_MAX_SCANS: Final = 200


class _Frame(NamedTuple):
    """The frame header: where in the segments it stands, and what it says."""

    marker: int
    bits: int
    height: int
    width: int
    components: tuple[int, ...]


def open_jpeg(data: bytes) -> ImageFile:
    """Reads the segments of a JPEG file; of a file that brings further pictures along (MPO) the first one counts.

    A missing end marker, anything after it, odd or huge metadata and wrong scan parameters of a sequential picture do
    not matter. `ImageFile.decode` raises `ValueError` where libjpeg warns that the coded data is broken.

    Raises:
        DamagedError: the file is cut short, or has no frame or no scan.
        ImageError: the picture is none of 8-bit grey, three colours or four inks, or has too many scans.
    """
    segments = list(read_segments(data))
    frame = _frame(segments)
    num_scans = sum(segment.marker == START_OF_SCAN for segment in segments)
    if num_scans > _MAX_SCANS:
        raise ImageError(f"the JPEG image has {num_scans:,} scans, more than {_MAX_SCANS}: save it again")
    if not segments or not is_end(segments[-1]):
        _check_every_scan_came(segments, frame)
    picture = b"".join([_START_OF_IMAGE, *(_kept(segment, frame) for segment in segments), _END_OF_IMAGE])
    return ImageFile(
        frame.width,
        frame.height,
        lambda: _decode(picture, len(frame.components)),
        exif=b"".join(_bodies(segments, APP1, _EXIF)),
        icc_profile=_icc_profile(_bodies(segments, APP2, _ICC)),
    )


def _frame(segments: list[Segment]) -> _Frame:
    header = next((segment for segment in segments if segment.marker in FRAMES), None)
    if header is None or all(segment.marker != START_OF_SCAN for segment in segments):
        raise DamagedError("the JPEG file ends before its picture")
    marker, body, _ = header
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise DamagedError("the JPEG file's frame header is too short")
    bits, height, width, num_components = struct.unpack(">BHHB", body[:6])
    if bits != 8 or num_components not in (1, 3, 4):
        raise ImageError(
            f"the JPEG image has {num_components} components of {bits} bits: 8-bit grey, colour and CMYK are read; "
            "save it as one of these"
        )
    if height == 0:
        raise ImageError(
            "the JPEG image names its height only after its pixels (DNL), which is not read: save it again"
        )
    return _Frame(marker, bits, height, width, tuple(body[6 : 6 + 3 * num_components : 3]))


def _kept(segment: Segment, frame: _Frame) -> bytes:
    """The segment as it is needed to decode the picture; empty if it is not."""
    marker, body, scan = segment
    if marker == APP0 and body.startswith(b"JFIF\0") and len(body) >= _LEN_JFIF:
        body = _JFIF_BODY
    elif marker == APP14 and body.startswith(b"Adobe") and len(body) >= _LEN_ADOBE:
        body = _ADOBE_BODY + bytes([_color_transform(body[11], len(frame.components))])
    elif marker == START_OF_SCAN and frame.marker in _SEQUENTIAL and len(body) >= 3:
        body = body[:-3] + bytes([0, 63, 0])  # fixed for a sequential picture; some encoders write other numbers
    elif marker not in _TABLES and marker not in FRAMES and marker != START_OF_SCAN:
        return b""
    return b"\xff" + bytes([marker]) + struct.pack(">H", 2 + len(body)) + body + scan


def _color_transform(transform: int, num_components: int) -> int:
    """The transform of an Adobe segment; libjpeg takes one that does not exist for YCbCr or YCCK, and warns."""
    default = {3: 1, 4: 2}.get(num_components, 0)
    return transform if transform in (0, default) else default


def _check_every_scan_came(segments: list[Segment], frame: _Frame) -> None:
    """A file may be cut between two scans: nothing is broken then, but colours or details are missing."""
    missing = {(component, coefficient) for component in frame.components for coefficient in range(64)}
    for segment in segments:
        if segment.marker == START_OF_SCAN and len(segment.body) >= 4:
            *components, first, last, approximation = segment.body[1:]
            if frame.marker in _SEQUENTIAL:
                first, last, approximation = 0, 63, 0
            if approximation & 15 == 0:
                missing -= {(component, k) for component in components[::2] for k in range(first, last + 1)}
    if missing:
        raise DamagedError("the JPEG file ends before its last scan")


def _bodies(segments: list[Segment], marker: int, name: bytes) -> list[bytes]:
    bodies = [segment.body for segment in segments if segment.marker == marker]
    return [body[len(name) :] for body in bodies if body.startswith(name)]


def _icc_profile(parts: list[bytes]) -> bytes:
    """A profile comes in numbered parts, each led by its number and the count of all; empty if one is missing."""
    numbered = sorted(part for part in parts if len(part) > 2)
    complete = [part[0] for part in numbered] == list(range(1, len(numbered) + 1))
    if not complete or any(part[1] != len(numbered) for part in numbered):
        return b""
    return b"".join(part[2:] for part in numbered)


def _decode(picture: bytes, num_components: int) -> Image.Image | NDArray[np.uint8]:
    try:
        return _decode_strictly(picture, num_components)
    except ValueError as error:
        if "subsampling" in str(error):
            # Sampling factors that simplejpeg does not know. Pillow decodes them, though without libjpeg's warnings.
            return Image.open(io.BytesIO(picture), formats=["JPEG"])
        padded = picture.removesuffix(_END_OF_IMAGE).rstrip(b"\0")
        if "extraneous bytes before marker 0xd9" not in str(error) or len(padded) + 2 == len(picture):
            raise
        # Zeros between the coded data and the end marker are padding if the data is whole without them.
        return _decode_strictly(padded + _END_OF_IMAGE, num_components)


def _decode_strictly(picture: bytes, num_components: int) -> Image.Image | NDArray[np.uint8]:
    if num_components == 1:
        return Image.fromarray(simplejpeg.decode_jpeg(picture, "GRAY", strict=True)[:, :, 0])
    if num_components == 3:
        rgb: NDArray[np.uint8] = simplejpeg.decode_jpeg(picture, "RGB", strict=True)
        return rgb
    inks = simplejpeg.decode_jpeg(picture, "CMYK", strict=True)
    # Adobe's programs store inks inverted, and every reader takes them so.
    return Image.fromarray(np.invert(inks, out=inks), "CMYK")
