"""Files that are not read."""

from collections.abc import Iterator

from tests.model.image_cases.case import (
    RGB,
    SIZE,
    Case,
)
from tests.model.image_files import (
    encoded,
)
from tests.model.tiff_bytes import Value, tiff_file


def other_formats() -> Iterator[Case]:
    group = "Not read"
    for image_format, name in {
        "GIF": "a GIF image",
        "BMP": "a BMP image",
        "PPM": "a PNM image",
        "ICO": "a Windows icon",
        "JPEG2000": "a JPEG 2000 image",
        "DDS": "a DirectDraw texture",
        "PDF": "a PDF document",
    }.items():
        data = encoded(RGB, image_format)
        yield Case(
            group,
            image_format,
            data,
            f"the file is {name}: send JPEG, PNG, WebP, TIFF, HEIC or AVIF",
            "named, and how to convert it",
        )
    for name, start, message in (
        ("JPEG XL", b"\xff\x0a" + bytes(30), "a JPEG XL image"),
        ("Photoshop", b"8BPS\0\1" + bytes(30), "a Photoshop file"),
        ("video MP4", b"\0\0\0\x18ftypisom" + bytes(30), "an MP4 or MOV video: "),
        ("video MOV", b"\0\0\0\x14ftypqt  " + bytes(30), "`ffmpeg -i in.mp4 -frames:v 1 out.png`"),
        ("video Matroska", b"\x1a\x45\xdf\xa3" + bytes(30), "a Matroska or WebM video"),
        ("video AVI", b"RIFF\0\0\0\0AVI " + bytes(30), "an AVI video"),
        ("camera raw CR3", b"\0\0\0\x18ftypcrx " + bytes(30), "a camera raw file (CR3)"),
        ("camera raw RAF", b"FUJIFILMCCD-RAW " + bytes(30), "a camera raw file (RAF)"),
        ("camera raw CR2", b"II*\0\x10\0\0\0CR\2\0" + bytes(30), "a camera raw file (CR2)"),
        ("archive ZIP", b"PK\3\4" + bytes(30), "an archive"),
        ("a Mac companion file ._a.jpg", b"\0\5\x16\7" + bytes(30), "Finder's companion file"),
        ("zero bytes only", bytes(1000), "a file of zero bytes"),
        ("HTML", b"\n<!DOCTYPE html><html>", "text (an HTML page"),
        ("JSON", b'{"error": "not found"}', "text (JSON)"),
        ("SVG", b'<?xml version="1.0"?><svg/>', "text (an SVG drawing)"),
        ("text", "kein Bild, nur Wörter".encode(), "not a JPEG, PNG, WebP, TIFF, HEIC or AVIF image but text"),
        ("Git LFS pointer", b"version https://git-lfs.github.com/spec/v1", "`git lfs pull` brings the image"),
        ("unknown bytes", b"\x01\xfe\x02\xfd" * 20, "the file is not a JPEG, PNG, WebP, TIFF, HEIC or AVIF image"),
        ("an empty file", b"", "the file is empty: send a JPEG, PNG, WebP, TIFF, HEIC or AVIF image"),
    ):
        yield Case(group, name, start, message, "named, and what to send")
    previews: dict[str, dict[int, Value]] = {"DNG": {50706: [1, 4, 0, 0]}, "NEF or ARW": {254: 1, 330: 8}}
    raw = SIZE | {258: [8] * 3, 262: 2, 277: 3}
    for name, tags in previews.items():
        message = f"a mere preview{'' if name == 'DNG' else ', as in camera raw files such as NEF and ARW'}"
        yield Case(
            group, f"camera raw {name}", tiff_file(raw | tags, RGB.tobytes()), message, "its preview is not taken"
        )
