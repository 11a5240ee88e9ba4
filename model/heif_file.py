"""HEIC and AVIF: still pictures in the ISO base media format (ISO/IEC 23008-12), by libheif and libavif."""

import io
from typing import Final

import pillow_heif
from PIL import Image

from model.image_file import ImageError, ImageFile

_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})


def brands(data: bytes) -> list[bytes]:
    """The brands of the file-type box: the major one, then the compatible ones; empty if there is no such box."""
    if data[4:8] != b"ftyp":
        return []
    end = min(int.from_bytes(data[:4], "big"), len(data), 4096)
    return [data[8:12]] + [data[start : start + 4] for start in range(16, end - 3, 4)]


def is_avif(data: bytes) -> bool:
    """Whether one of the file's brands is AVIF's."""
    return not _AVIF_BRANDS.isdisjoint(brands(data))


def is_heic(data: bytes) -> bool:
    """Whether one of the file's brands is HEIC's, or it is a still picture of this family that names no codec."""
    found = brands(data)
    return not _HEIC_BRANDS.isdisjoint(found) or found[:1] in ([b"mif1"], [b"msf1"])


def open_heic(data: bytes) -> ImageFile:
    """Reads the primary picture of a HEIC file; libheif turns and mirrors it as the file's own properties say."""
    heif = pillow_heif.open_heif(data)
    width, height = heif.size
    return ImageFile(
        width,
        height,
        heif.to_pillow,
        exif=heif.info.get("exif") or b"",
        icc_profile=heif.info.get("icc_profile") or b"",
        turns=False,
        bytes_per_pixel=16,
    )


def open_avif(data: bytes) -> ImageFile:
    """Reads an AVIF file. How to turn it stands in the file's own properties; Pillow puts that in place of EXIF's word.

    Raises:
        ImageError: the file is animated.
    """
    if data[8:12] not in _AVIF_BRANDS:
        data = data[:8] + b"avif" + data[12:]  # Pillow goes by the major brand alone
    try:
        image = _open(data)
    except Exception:
        # libavif and Pillow read the EXIF block at once and refuse the file if that is broken: hide its type from them.
        image = _open(data.replace(b"Exif", b"free", 1))
    if getattr(image, "n_frames", 1) > 1:
        raise ImageError("the image is animated: send one still frame")
    width, height = image.size
    return ImageFile(
        width,
        height,
        lambda: image,
        exif=image.info.get("exif", b""),
        icc_profile=image.info.get("icc_profile", b""),
        bytes_per_pixel=16,
    )


def _open(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=["AVIF"])
