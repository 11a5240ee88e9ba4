"""Metadata that is huge, odd or broken."""

from collections.abc import Iterator

import numpy as np
from PIL import PngImagePlugin

from tests.model.image_cases.case import (
    RGB,
    SIZE,
    Case,
)
from tests.model.image_files import (
    encoded,
    jpeg_segment,
    png_chunk,
    riff,
    riff_chunks,
    with_chunks,
    with_segments,
)
from tests.model.tiff_bytes import Value, exif_block, tiff_file


def metadata() -> Iterator[Case]:
    group = "Metadata"
    junk = bytes(np.random.default_rng(0).integers(0, 256, 60_000, np.uint8))
    jpeg = encoded(RGB, "JPEG")
    for name, segments in {
        "60 kB of random EXIF": [jpeg_segment(0xE1, b"Exif\0\0" + junk)],
        "EXIF that points outside": [jpeg_segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\x7f" + bytes(20))],
        "10 MB of application segments": [jpeg_segment(0xE5, junk)] * 170,
        "XMP of 40 segments": [jpeg_segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + junk)] * 40,
        "a comment of 60 kB": [jpeg_segment(0xFE, junk)],
        "broken Photoshop blocks": [jpeg_segment(0xED, b"Photoshop 3.0\x008BIM" + junk[:50])],
        "a broken thumbnail": [jpeg_segment(0xE0, b"JFXX\0\x10" + junk[:200])],
        "a broken multi-picture index": [jpeg_segment(0xE2, b"MPF\0" + junk[:100])],
    }.items():
        yield Case(group, f"JPEG with {name}", with_segments(jpeg, *segments), RGB, "read", 2)
    png = encoded(RGB, "PNG")
    packed = PngImagePlugin.PngInfo()
    packed.add_text("comment", "x" * 2_000_000, zip=True)
    yield Case(group, "PNG with 2 MB of compressed text", encoded(RGB, "PNG", pnginfo=packed), RGB, "read")
    for name, chunk in {
        "a broken tEXt chunk": png_chunk(b"tEXt", junk[:40]),
        "a broken zTXt chunk": png_chunk(b"zTXt", b"key\0\0" + junk[:40]),
        "a broken iTXt chunk": png_chunk(b"iTXt", b"key\0\1\0\0\0" + junk[:40]),
        "a date that does not exist": png_chunk(b"tIME", bytes(7)),
        "a short pHYs chunk": png_chunk(b"pHYs", b"\1"),
        "a wrong checksum of its text": png_chunk(b"tEXt", b"a\0b", damaged=True),
        "a wrong checksum of its profile": png_chunk(b"iCCP", b"p\0\0", damaged=True),
        "a wrong checksum of its EXIF": png_chunk(b"eXIf", exif_block({0x0112: 6}), damaged=True),
        "a broken animation chunk": png_chunk(b"acTL", b"\xff\xff"),
        "random EXIF": png_chunk(b"eXIf", junk),
        "an unknown chunk of 60 kB": png_chunk(b"quXx", junk),
        "broken transparency": png_chunk(b"tRNS", junk[:700]),
    }.items():
        yield Case(group, f"PNG with {name}", with_chunks(png, chunk), RGB, "read")
    webp = riff_chunks(encoded(RGB, "WEBP"))
    for name, webp_chunk in {
        "random EXIF": (b"EXIF", junk),
        "a random profile": (b"ICCP", junk),
        "an unknown chunk": (b"junk", junk[:33]),
        "a broken extended header": (b"VP8X", b"\xff"),
    }.items():
        yield Case(group, f"WebP with {name}", riff(webp_chunk, *webp), RGB, "read")
    odd_tags: dict[str, dict[int, Value]] = {
        "random XMP": {700: junk},
        "a random profile": {34675: junk},
        "an EXIF directory that points outside": {0x8769: 0x7FFFFFFF, 0x8825: 0x7FFFFFFF},
        "a resolution of 0/0": {282: [(0, 0)], 283: [(0, 0)]},
        "an orientation that is text": {0x0112: "6"},
    }
    for name, tags in odd_tags.items():
        data = tiff_file(SIZE | {258: [8] * 3, 262: 2, 277: 3} | tags, RGB.tobytes())
        yield Case(group, f"TIFF with {name}", data, RGB, "read")
    yield Case(group, "HEIC with random EXIF", encoded(RGB, "HEIC", exif=junk[:500]), RGB, "read", 2)
    avif = encoded(RGB, "AVIF", exif=exif_block({0x010E: "x" * 99}))
    block = avif.rindex(b"II*\0")
    yield Case(group, "AVIF with broken EXIF", avif[:block] + b"\xff" * 8 + avif[block + 8 :], RGB, "read", 3)
