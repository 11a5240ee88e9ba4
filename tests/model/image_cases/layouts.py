"""Every layout of pixels that a JPEG, PNG, WebP, HEIC or AVIF file may have."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.model.image_cases.case import (
    DEEP_GREY,
    GREY,
    RGB,
    Case,
    grey_rgb,
)
from tests.model.image_files import (
    changed,
    encoded,
)

FLAT = np.full((64, 96, 3), 128, np.uint8)


def jpeg_layouts() -> Iterator[Case]:
    group = "Pictures"
    variants: dict[str, dict[str, object]] = {
        "baseline": {},
        "progressive": {"progressive": True},
        "4:2:0": {"subsampling": 2},
        "4:1:1": {"subsampling": "4:1:1"},
        "restart markers": {"restart_marker_rows": 1},
        "stored as RGB": {"keep_rgb": True},
    }
    for name, options in variants.items():
        data = encoded(RGB, "JPEG", **options)
        yield Case(group, f"JPEG, {name}", data, RGB, "read", 4)
    yield Case(group, "JPEG, grey", encoded(GREY, "JPEG"), grey_rgb(GREY), "read", 2)
    white_ink = np.concatenate([255 - RGB, np.zeros_like(RGB[:, :, :1])], axis=2)
    cmyk = encoded(Image.fromarray(white_ink, "CMYK"), "JPEG")
    yield Case(group, "JPEG, CMYK", cmyk, RGB, "read; inks without a profile by the plain formula", 2)
    mpo = encoded(RGB, "MPO", save_all=True, append_images=[Image.fromarray(RGB[::-1])])
    yield Case(group, "JPEG with further pictures (MPO)", mpo, RGB, "the first is read", 5)
    yield Case(
        group,
        "JPEG with a broken index of further pictures",
        mpo.replace(b"MPF\0", b"MPF\0\xff\xff\xff\xff", 1),
        RGB,
        "the first is read",
        5,
    )
    yield Case(
        group,
        "JPEG of 12 bits",
        changed(encoded(RGB, "JPEG"), encoded(RGB, "JPEG").index(b"\xff\xc0") + 4, 12),
        "3 components of 12 bits: 8-bit grey, colour and CMYK are read",
        "refused by name",
    )
    yield Case(
        group,
        "JPEG with unusual sampling factors",
        _unusual_sampling(),
        FLAT,
        "read, though without the check for broken data",
    )


def other_layouts() -> Iterator[Case]:
    group = "Pictures"
    for name, pixels, expected in (
        ("8-bit RGB", RGB, RGB),
        ("grey", GREY, grey_rgb(GREY)),
        ("16-bit grey", DEEP_GREY, grey_rgb(GREY)),
        ("RGB with alpha", np.concatenate([RGB, GREY[:, :, None]], axis=2), RGB),
        ("grey with alpha", np.stack([GREY, GREY[::-1]], axis=2), grey_rgb(GREY)),
    ):
        data = encoded(pixels, "PNG")
        yield Case(group, f"PNG, {name}", data, expected, "read; alpha is dropped, the colours below it count")
    palette = Image.fromarray(RGB).quantize(64)
    yield Case(group, "PNG, palette", encoded(palette, "PNG"), np.asarray(palette.convert("RGB")), "read")
    yield Case(group, "WebP, lossless", encoded(RGB, "WEBP"), RGB, "read")
    lossy = encoded(RGB, "WEBP", lossless=False, quality=95)
    yield Case(group, "WebP, lossy", lossy, RGB, "read", 6)
    alpha = np.concatenate([RGB, GREY[:, :, None]], axis=2)
    yield Case(group, "WebP with alpha", encoded(alpha, "WEBP"), RGB, "read; alpha is dropped")
    yield Case(group, "AVIF", encoded(RGB, "AVIF"), RGB, "read", 3)
    yield Case(group, "HEIC", encoded(RGB, "HEIC"), RGB, "read; the primary picture of several", 2)
    for image_format in ("PNG", "WEBP", "AVIF"):
        frames = encoded(RGB, image_format, save_all=True, append_images=[Image.fromarray(RGB[::-1])], duration=100)
        yield Case(group, f"animated {image_format}", frames, "animated: send one still frame", "refused")


def _unusual_sampling() -> bytes:
    """All blocks of a flat picture are coded alike, so that other sampling factors only change what they are called."""
    jpeg = bytearray(encoded(FLAT, "JPEG", keep_rgb=True))
    components = jpeg.index(b"\xff\xc0") + 10
    for component in range(3):
        jpeg[components + 3 * component + 1] = 0x21
    return bytes(jpeg)
