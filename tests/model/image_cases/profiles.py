"""Embedded colour profiles."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from model.png_file import SIGNATURE as PNG_SIGNATURE
from tests.model import icc_profiles as icc
from tests.model.image_cases.case import (
    DEEP_GREY,
    GREY,
    INKS,
    MUTED,
    RGB,
    SIZE,
    Case,
    grey_rgb,
)
from tests.model.image_files import (
    encoded,
    png_chunk,
    with_chunks,
)
from tests.model.tiff_bytes import tiff_file


def profiles() -> Iterator[Case]:
    group = "Colour profiles"
    for name, primaries, gamma in (
        ("Display P3", icc.DISPLAY_P3, None),
        ("Adobe RGB", icc.ADOBE_RGB, icc.ADOBE_GAMMA),
    ):
        wide = icc.srgb_pixels_in(MUTED, primaries, gamma)
        profile = icc.matrix_profile(primaries, gamma)
        for image_format in ("JPEG", "PNG", "WEBP", "TIFF", "HEIC", "AVIF"):
            data = encoded(wide, image_format, icc_profile=profile)
            tolerance = {"JPEG": 1.5, "HEIC": 1.5, "AVIF": 2}.get(image_format, 0.5)
            yield Case(group, f"{name} in {image_format}", data, MUTED, "read in sRGB", tolerance)
    p3 = icc.matrix_profile(icc.DISPLAY_P3)
    wide = icc.srgb_pixels_in(MUTED, icc.DISPLAY_P3)
    alpha = np.concatenate([wide, GREY[:, :, None]], axis=2)
    yield Case(group, "Display P3 with alpha", encoded(alpha, "PNG", icc_profile=p3), MUTED, "read in sRGB", 0.5)
    deep = (wide.astype(np.uint16) * 257).tobytes()
    yield Case(
        group,
        "Display P3 with 16 bits",
        tiff_file(SIZE | {258: [16] * 3, 262: 2, 277: 3, 34675: p3}, deep),
        MUTED,
        "read in sRGB",
        0.5,
    )
    palette = Image.fromarray(wide).quantize(64)
    colors = np.asarray(palette.convert("RGB"))
    in_srgb = icc.to_levels(
        icc.linear_to_srgb(icc.srgb_to_linear(colors / 255) @ icc.DISPLAY_P3.T @ np.linalg.inv(icc.SRGB).T)
    )
    yield Case(
        group,
        "Display P3 with a palette",
        encoded(palette, "PNG", icc_profile=p3),
        in_srgb,
        "read in sRGB",
        0.5,
    )
    grey = grey_rgb(icc.grey_in_srgb(GREY, 1.8))
    grey_profile = icc.grey_profile(1.8)
    yield Case(group, "grey of gamma 1.8", encoded(GREY, "PNG", icc_profile=grey_profile), grey, "read in sRGB", 0.5)
    yield Case(
        group,
        "16-bit grey of gamma 1.8",
        encoded(DEEP_GREY, "PNG", icc_profile=grey_profile),
        grey,
        "read in sRGB",
        0.5,
    )
    yield Case(
        group,
        "grey of gamma 1.8 with alpha",
        encoded(np.stack([GREY, GREY[::-1]], axis=2), "PNG", icc_profile=grey_profile),
        grey,
        "read in sRGB",
        0.5,
    )
    deep_rows = b"".join(b"\0" + row.tobytes() for row in np.stack([DEEP_GREY, DEEP_GREY[::-1]], axis=2).astype(">u2"))
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 96, 64, 16, 4, 0, 0, 0))
    chunks = png_chunk(b"iCCP", b"p\0\0" + zlib.compress(grey_profile)) + png_chunk(b"IDAT", zlib.compress(deep_rows))
    yield Case(
        group,
        "16-bit grey of gamma 1.8 with alpha",
        PNG_SIGNATURE + header + chunks + png_chunk(b"IEND", b""),
        grey,
        "read in sRGB",
        0.5,
    )
    yield Case(
        group,
        "PNG with two profiles",
        encoded(wide, "PNG", icc_profile=p3)[:-12]
        + png_chunk(b"iCCP", b"p\0\0" + zlib.compress(icc.matrix_profile(icc.ADOBE_RGB, icc.ADOBE_GAMMA)))
        + png_chunk(b"IEND", b""),
        MUTED,
        "the first counts",
        0.5,
    )
    inks, cmyk = Image.fromarray(INKS, "CMYK"), icc.cmyk_profile()
    for image_format, tolerance in (("TIFF", 0.5), ("JPEG", 1)):
        data = encoded(inks, image_format, icc_profile=cmyk)
        yield Case(group, f"CMYK profile in {image_format}", data, icc.cmyk_in_srgb(INKS), "read in sRGB", tolerance)
    srgb = icc.matrix_profile(icc.SRGB)
    yield Case(group, "sRGB", encoded(RGB, "PNG", icc_profile=srgb), RGB, "changes no pixel")
    for name, broken in {
        "of random bytes": bytes(range(256)) * 4,
        "cut short": p3[:200],
        "with a broken signature": p3.replace(b"acsp", b"abcd"),
        "for CMYK in an RGB image": cmyk,
        "for grey in an RGB image": grey_profile,
    }.items():
        data = encoded(RGB, "PNG", icc_profile=broken)
        yield Case(group, f"profile {name}", data, RGB, "the profile is ignored")
    yield Case(
        group,
        "RGB profile in a grey image",
        encoded(GREY, "PNG", icc_profile=p3),
        grey_rgb(GREY),
        "the profile is ignored",
    )
    damaged_chunk = png_chunk(b"iCCP", b"p\0\0broken")
    yield Case(
        group,
        "PNG whose compressed profile is broken",
        with_chunks(encoded(RGB, "PNG"), damaged_chunk),
        RGB,
        "the profile is ignored",
    )
    large = p3 + bytes(200_000)
    yield Case(
        group,
        "JPEG whose profile has several segments",
        encoded(wide, "JPEG", icc_profile=large),
        MUTED,
        "read in sRGB",
        1.5,
    )
    yield Case(
        group,
        "JPEG whose profile lacks a segment",
        encoded(RGB, "JPEG", icc_profile=large).replace(b"ICC_PROFILE\0\2", b"XCC_PROFILE\0\2"),
        RGB,
        "the profile is ignored",
        2,
    )
