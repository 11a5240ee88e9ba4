"""What a file is, by its first bytes: one of the formats that are read, or something else with its name."""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from model.heif_file import is_avif, is_heic
from model.image_file import ImageError
from model.png_file import SIGNATURE as PNG_SIGNATURE

ACCEPTED: Final = "JPEG, PNG, WebP, TIFF, HEIC or AVIF"
"""The formats that are read, as messages name them."""


class _Foreign(NamedTuple):
    """A format that is not read: how its files begin, its name, and the ending of a command that converts it."""

    pattern: re.Pattern[bytes]
    name: str
    ending: str = ""


def _foreign(pattern: bytes, name: str, ending: str = "") -> _Foreign:
    return _Foreign(re.compile(pattern, re.DOTALL), name, ending)


_RAW: Final = "camera raw file"
_FOREIGN: Final = (
    _foreign(rb"GIF8[79]a", "GIF image", "gif"),
    _foreign(rb"BM.{4}\x00{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00{3}", "BMP image", "bmp"),
    _foreign(rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000 image", "jp2"),
    _foreign(rb"\x00\x00\x00\x0cJXL |\xff\x0a", "JPEG XL image", "jxl"),
    _foreign(rb"II\xbc\x01", "JPEG XR image", "jxr"),
    _foreign(rb"8BPS", "Photoshop file", "psd"),
    _foreign(rb"gimp xcf", "GIMP file", "xcf"),
    _foreign(rb"%PDF", "PDF document", "pdf"),
    _foreign(rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript document", "eps"),
    _foreign(rb"\x00\x00[\x01\x02]\x00[^\x00]\x00", "Windows icon", "ico"),
    _foreign(rb"\x00\x00[\x02\x03\x0a\x0b]\x00{5}", "TGA image", "tga"),
    _foreign(rb"\x0a[\x00-\x05]\x01[\x01\x02\x04\x08]", "PCX image", "pcx"),
    _foreign(rb"\x01\xda[\x00\x01][\x01\x02]", "SGI image", "sgi"),
    _foreign(rb"icns", "Mac icon", "icns"),
    _foreign(
        rb"\x89PNG|\xc2\x89PNG|\xef\xbf\xbdPNG|\xc3\xbf\xc3\x98\xc3\xbf|(\xef\xbf\xbd){3}",
        "image that was changed on its way as if it were text",
    ),
    _foreign(rb"\xd7\xcd\xc6\x9a|\x01\x00\x00\x00.{36} EMF", "Windows metafile", "wmf"),
    _foreign(rb"P[1-7]\s", "PNM image", "ppm"),
    _foreign(rb"\x76\x2f\x31\x01", "OpenEXR image", "exr"),
    _foreign(rb"#\?RADIANCE|#\?RGBE", "Radiance HDR image", "hdr"),
    _foreign(rb"DDS ", "DirectDraw texture", "dds"),
    _foreign(rb"qoif", "QOI image", "qoi"),
    _foreign(rb"SIMPLE  =", "FITS image", "fits"),
    _foreign(rb".{128}DICM", "DICOM image", "dcm"),
    _foreign(rb"\x8aMNG|\x8bJNG", "MNG image", "mng"),
    _foreign(rb"FUJIFILMCCD-RAW", f"{_RAW} (RAF)", "raf"),
    _foreign(rb"IIR[OS]|MMOR", f"{_RAW} (ORF)", "orf"),
    _foreign(rb"IIU\x00", f"{_RAW} (RW2)", "rw2"),
    _foreign(rb"FOVb", f"{_RAW} (X3F)", "x3f"),
    _foreign(rb".{4}ftypcrx ", f"{_RAW} (CR3)", "cr3"),
    _foreign(rb"\x1a\x45\xdf\xa3", "Matroska or WebM video", "mkv"),
    _foreign(rb"RIFF.{4}AVI ", "AVI video", "avi"),
    _foreign(rb"\x00\x00\x01[\xb3\xba]", "MPEG video", "mpg"),
    _foreign(rb"FLV\x01", "Flash video", "flv"),
    _foreign(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media video", "wmv"),
    _foreign(rb".{4}ftyp(jpe|jpg|avc[is]|j2k|vvi)", "HEIF image of neither HEVC nor AV1", "heif"),
    _foreign(rb".{4}(ftyp|moov|mdat|wide)", "MP4 or MOV video", "mp4"),
    _foreign(rb"RIFF.{4}WAVE|ID3|OggS|fLaC", "sound file"),
    _foreign(rb"PK\x03\x04|PK\x05\x06|7z\xbc\xaf|Rar!|\x1f\x8b|BZh|\xfd7zXZ|.{257}ustar", "archive"),
    _foreign(rb"\x93NUMPY", "NumPy array"),
    _foreign(rb"\x00\x05\x16[\x00\x07]", "Finder's companion file (AppleDouble)"),
    _foreign(rb"\x00{64}", "file of zero bytes"),
)
# Of text that begins so, after blanks and a byte-order mark.
_TEXT: Final = (
    (re.compile(r"<!doctype html|<html", re.IGNORECASE), "an HTML page, as a server sends instead of a missing file"),
    (re.compile(r"(<\?xml|<!--|<!doctype).*<svg|<svg", re.IGNORECASE | re.DOTALL), "an SVG drawing"),
    (re.compile(r"<\?xml|<[a-z]", re.IGNORECASE), "XML"),
    (re.compile(r"[{\[]"), "JSON"),
    (re.compile(r"version https://git-lfs"), "a pointer of Git LFS: `git lfs pull` brings the image"),
    (re.compile(r"data:image/"), "a data URL: decode its base64"),
    (re.compile(r"/9j/|iVBORw0KGgo|UklGR"), "an image in base64: decode it"),
)
_LEN_START: Final = 1024

_ACCEPTED_BY_START: Final[tuple[tuple[str, Callable[[bytes], bool]], ...]] = (
    ("JPEG", lambda data: data.startswith(b"\xff\xd8\xff")),
    ("PNG", lambda data: data.startswith(PNG_SIGNATURE)),
    ("WEBP", lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP"),
    ("TIFF", lambda data: data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"))),
    ("AVIF", is_avif),
    ("HEIC", is_heic),
)


def identify(data: bytes) -> str:
    """Which of the formats that are read a file is, by its first bytes: a key of `model.image.FORMATS`.

    Raises:
        ImageError: none of them; the message names what it is, where that is known, and how to convert it.
    """
    for name, begins in _ACCEPTED_BY_START:
        if begins(data):
            return name
    for foreign in _FOREIGN:
        if foreign.pattern.match(data):
            raise ImageError(f"the file is a{_n(foreign.name)} {foreign.name}: send {ACCEPTED}{_hint(foreign)}")
    text = _text(data[:_LEN_START])
    if text is None:
        raise ImageError(f"the file is not a {ACCEPTED} image")
    kind = next((kind for pattern, kind in _TEXT if pattern.match(text)), None)
    raise ImageError(f"the file is not a {ACCEPTED} image but text" + (f" ({kind})" if kind else ""))


def _n(name: str) -> str:
    return "n" if name[0] in "aAeEiIoO" or name.startswith(("MNG", "MPEG", "MP4", "XCF", "SGI")) else ""


def _hint(foreign: _Foreign) -> str:
    if not foreign.ending:
        return ""
    if foreign.name.endswith("video"):
        return f", for example one frame of it after `ffmpeg -i in.{foreign.ending} -frames:v 1 out.png`"
    if foreign.name.startswith(_RAW):
        return f", for example after `darktable-cli in.{foreign.ending} out.png`"
    return f", for example after `convert in.{foreign.ending} out.png`"


def _text(start: bytes) -> str | None:
    """The first bytes as text, if they are some."""
    try:
        text = start.decode("utf-16") if start[:2] in (b"\xff\xfe", b"\xfe\xff") else start.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(start) < _LEN_START or error.start < len(start) - 4:  # else a character that is cut in two
            return None
        text = start[: error.start].decode("utf-8", "ignore")
    is_text = all(character.isprintable() or character.isspace() for character in text)
    return text.lstrip() if is_text else None
