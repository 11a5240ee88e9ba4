"""What turns a picture, and what does not."""

from collections.abc import Iterator

from PIL import PngImagePlugin

from tests.model.image_cases.case import (
    RGB,
    XMP_ORIENTATION,
    Case,
)
from tests.model.image_files import (
    encoded,
    stored,
)
from tests.model.tiff_bytes import exif_block


def turned() -> Iterator[Case]:
    group = "Turning"
    for image_format in ("JPEG", "PNG", "WEBP", "TIFF", "HEIC", "AVIF"):
        for orientation in (3, 5, 6, 8):
            prefix = b"Exif\0\0" if image_format == "JPEG" else b""
            options: dict[str, object] = {"exif": prefix + exif_block({0x0112: orientation})}
            if image_format == "TIFF":
                options = {"tiffinfo": {0x0112: orientation}, "compression": "tiff_lzw"}
            data = encoded(stored(RGB, orientation), image_format, **options)
            by = "its own property" if image_format in ("HEIC", "AVIF") else "EXIF"
            tolerance = {"JPEG": 2, "HEIC": 2, "AVIF": 3}.get(image_format, 0)
            yield Case(
                group, f"{image_format} of orientation {orientation}", data, RGB, f"turned once, by {by}", tolerance
            )
    for image_format in ("JPEG", "PNG", "WEBP", "TIFF"):
        options = {"tiffinfo": {700: XMP_ORIENTATION}} if image_format == "TIFF" else {"xmp": XMP_ORIENTATION}
        if image_format == "PNG":
            info = PngImagePlugin.PngInfo()
            info.add_itxt("XML:com.adobe.xmp", XMP_ORIENTATION.decode())
            options = {"pnginfo": info}
        data = encoded(RGB, image_format, **options)
        yield Case(group, f"{image_format} whose XMP names an orientation", data, RGB, "not turned", 3)
    for image_format in ("HEIC", "AVIF"):
        # Written afterwards: the encoders would turn it into the file's own property.
        upright, turned_left = XMP_ORIENTATION.replace(b"6", b"1"), XMP_ORIENTATION
        data = encoded(RGB, image_format, xmp=upright).replace(upright, turned_left)
        yield Case(group, f"{image_format} whose XMP names an orientation", data, RGB, "not turned", 3)
        block = exif_block({0x0112: 1, 0x010E: "upright"})
        data = encoded(RGB, image_format, exif=block).replace(block, exif_block({0x0112: 6, 0x010E: "upright"}))
        yield Case(group, f"{image_format} whose EXIF alone names an orientation", data, RGB, "not turned", 3)
    for name, block in {
        "orientation 0": exif_block({0x0112: 0}),
        "orientation 9": exif_block({0x0112: 9}),
        "an orientation that is text": exif_block({0x0112: "6"}),
        "several orientations that begin with 1": exif_block({0x0112: [1, 6, 8]}),
    }.items():
        data = encoded(RGB, "PNG", exif=block)
        yield Case(group, f"EXIF with {name}", data, RGB, "not turned")
