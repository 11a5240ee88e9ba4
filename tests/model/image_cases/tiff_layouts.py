"""Every layout of pixels that a TIFF file may have."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.model.image_cases.case import (
    DEEP_GREY,
    GREY,
    RGB,
    SIZE,
    Case,
    grey_rgb,
)
from tests.model.image_files import (
    encoded,
)
from tests.model.tiff_bytes import big_tiff, tiff_file, tiled_tiff


def tiff_layouts() -> Iterator[Case]:
    group = "Pictures"
    palette = Image.fromarray(RGB).quantize(64)
    white_ink = np.concatenate([255 - RGB, np.zeros_like(RGB[:, :, :1])], axis=2)
    for compression in ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "zstd"):
        data = encoded(RGB, "TIFF", compression=compression)
        yield Case(group, f"TIFF, compression {compression}", data, RGB, "read")
    yield Case(group, "TIFF, JPEG in strips", encoded(RGB, "TIFF", compression="jpeg"), RGB, "read", 3)
    for order, name in (("<", "little-endian"), (">", "big-endian")):
        deep = (RGB.astype(np.uint16) * 257).astype(order + "u2").tobytes()
        yield Case(group, f"TIFF, tiles, {name}", tiled_tiff(RGB, 32, order), RGB, "read")
        yield Case(
            group,
            f"TIFF, 16-bit RGB, {name}",
            tiff_file(SIZE | {258: [16] * 3, 262: 2, 277: 3}, deep, order=order),
            RGB,
            "read",
        )
        inverse = (65535 - DEEP_GREY).astype(order + "u2").tobytes()
        yield Case(
            group,
            f"TIFF, 16-bit grey where white is zero, {name}",
            tiff_file(SIZE | {258: 16, 262: 0}, inverse, order=order),
            grey_rgb(GREY),
            "read",
        )
    yield Case(
        group,
        "TIFF, separate colour planes",
        tiff_file(
            SIZE | {258: [8] * 3, 262: 2, 277: 3, 284: 2, 278: 64},
            *(np.ascontiguousarray(RGB[:, :, plane]).tobytes() for plane in range(3)),
        ),
        RGB,
        "read",
    )
    planes = (np.ascontiguousarray(RGB[:, :, plane]).astype("<u2") * 257 for plane in range(3))
    yield Case(
        group,
        "TIFF, separate colour planes of 16 bits",
        tiff_file(SIZE | {258: [16] * 3, 262: 2, 277: 3, 284: 2, 278: 64}, *(plane.tobytes() for plane in planes)),
        RGB,
        "read",
    )
    yield Case(
        group,
        "TIFF, tiles of 1 GB for a small picture",
        tiff_file(SIZE | {258: [8] * 3, 262: 2, 277: 3, 322: 20_000, 323: 20_000}, RGB.tobytes()),
        "has tiles of 20000 x 20000: save it with tiles of 256 x 256 or in strips",
        "refused by name",
    )
    yield Case(group, "TIFF, 16-bit grey", encoded(DEEP_GREY, "TIFF"), grey_rgb(GREY), "read")
    yield Case(group, "BigTIFF", big_tiff(GREY), grey_rgb(GREY), "read")
    yield Case(group, "TIFF, palette", encoded(palette, "TIFF"), np.asarray(palette.convert("RGB")), "read")
    yield Case(group, "TIFF, CMYK", encoded(Image.fromarray(white_ink, "CMYK"), "TIFF"), RGB, "read")
    rgba = encoded(np.concatenate([RGB, GREY[:, :, None]], axis=2), "TIFF")
    yield Case(group, "TIFF, RGB with alpha", rgba, RGB, "read; alpha is dropped")
    pages = encoded(RGB, "TIFF", save_all=True, append_images=[Image.fromarray(RGB[::-1])])
    yield Case(group, "TIFF of several pages", pages, RGB, "the first page is read")
    floating = encoded(GREY.astype(np.float32), "TIFF")
    yield Case(group, "TIFF, 32-bit floating point", floating, "has 32-bit floating-point samples", "refused by name")
    yield Case(
        group,
        "TIFF, 32-bit integer",
        encoded(GREY.astype(np.int32), "TIFF"),
        "has 32-bit signed integer samples",
        "refused by name",
    )
    yield Case(
        group,
        "TIFF, CIELAB",
        encoded(Image.fromarray(RGB, "LAB"), "TIFF"),
        "the colour space number 8",
        "refused by name",
    )
