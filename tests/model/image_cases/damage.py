"""Pixels that are broken, and oddities that only look so."""

from collections.abc import Iterator

from PIL import Image

from tests.conftest import picture
from tests.model.image_cases.case import (
    REFUSED,
    RGB,
    Case,
)
from tests.model.image_files import (
    changed,
    encoded,
    jpeg_segment,
    png_chunk,
    scan_start,
    with_chunks,
    with_segments,
)


def jpeg_damage() -> Iterator[Case]:
    group = "Damaged and odd pixels"
    jpeg = encoded(picture(1, 320, 240), "JPEG", quality=90)
    start = scan_start(jpeg)
    middle = (start + len(jpeg)) // 2
    zeroed = jpeg[:middle] + bytes(512) + jpeg[middle + 512 :]
    yield Case(group, "JPEG with 512 bytes of zeros in its data", zeroed, REFUSED, "refused")
    yield Case(
        group,
        "JPEG with 512 bytes missing in its data",
        jpeg[:middle] + jpeg[middle + 512 :],
        REFUSED,
        "refused",
    )
    yield Case(group, "JPEG with a marker in its data", jpeg[:middle] + b"\xff\xe5" + jpeg[middle:], REFUSED, "refused")
    yield Case(group, "JPEG cut in the middle", jpeg[:middle], REFUSED, "refused")
    yield Case(group, "JPEG cut in the middle, with an end marker", jpeg[:middle] + b"\xff\xd9", REFUSED, "refused")
    restart = encoded(picture(1, 320, 240), "JPEG", restart_marker_rows=1)
    lost = restart.index(b"\xff\xd3", scan_start(restart))
    yield Case(
        group,
        "JPEG with a wrong restart marker",
        changed(restart, lost + 1, 0xD6),
        REFUSED,
        "refused",
    )
    progressive = encoded(picture(1, 320, 240), "JPEG", progressive=True)
    second = progressive.index(b"\xff\xda", scan_start(progressive))
    yield Case(group, "progressive JPEG cut between two scans", progressive[:second], REFUSED, "refused")

    scan = progressive[second : progressive.index(b"\xff", second + 20)]
    yield Case(
        group,
        "JPEG of a thousand scans",
        progressive[:second] + scan * 1000 + progressive[second:],
        "scans, more than 200: save it again",
        "refused by name",
    )
    frame = jpeg.index(b"\xff\xc0")
    yield Case(
        group,
        "JPEG whose height comes after its pixels",
        jpeg[: frame + 5] + b"\0\0" + jpeg[frame + 7 :],
        "names its height only after its pixels",
        "refused by name",
    )

    plain = encoded(RGB, "JPEG")
    for name, data in {
        "without its end marker": plain[:-2],
        "with half an end marker": plain[:-1],
        "with bytes after its end marker": plain + b"trailing \xff\xd8\xff bytes" * 50,
        "with zeros before its end marker": plain[:-2] + bytes(100) + plain[-2:],
        "with fill bytes before its end marker": plain[:-2] + b"\xff" * 10 + plain[-2:],
        "with bytes between its segments": plain[:20] + b"\0\0\0" + plain[20:],
        "with an unknown JFIF version": plain.replace(b"JFIF\0\1", b"JFIF\0\7", 1),
        "with an unknown Adobe transform": with_segments(plain, jpeg_segment(0xEE, b"Adobe\0\x64\0\0\0\0\x09")),
        "with odd scan parameters": changed(plain, scan_start(plain) - 2, 0),
        "with unknown segments": with_segments(plain, jpeg_segment(0xF7, b"?"), jpeg_segment(0xEB, b"")),
    }.items():
        yield Case(group, f"JPEG {name}", data, RGB, "read", 2)
    odd = with_segments(zeroed, jpeg_segment(0xE0, b"JFIF\0\7\7\0\0\1\0\1\0\0"))
    yield Case(group, "JPEG with an unknown JFIF version and zeros in its data", odd, REFUSED, "refused")


def other_damage() -> Iterator[Case]:
    group = "Damaged and odd pixels"
    png = encoded(RGB, "PNG")
    idat = png.index(b"IDAT")
    length = int.from_bytes(png[idat - 4 : idat], "big")
    yield Case(
        group,
        "PNG with a flipped byte in its pixels",
        changed(png, idat + 4 + length // 2),
        REFUSED,
        "refused by the chunk's checksum",
    )
    stored_png = encoded(RGB, "PNG", compress_level=0)
    yield Case(
        group,
        "uncompressed PNG with a flipped byte in its pixels",
        changed(stored_png, stored_png.index(b"IDAT") + 2000),
        "checksum of the PNG file's IDAT chunk",
        "refused",
    )
    yield Case(group, "PNG with a flipped byte in its header", changed(png, 18), REFUSED, "refused")
    palette = encoded(Image.fromarray(RGB).quantize(64), "PNG")
    yield Case(
        group,
        "PNG with a flipped byte in its palette",
        changed(palette, palette.index(b"PLTE") + 20),
        REFUSED,
        "refused",
    )
    yield Case(group, "PNG cut in the middle", png[: idat + 4 + length // 2], REFUSED, "refused")
    yield Case(group, "PNG without its end chunk", png[:-12], RGB, "read")
    yield Case(group, "PNG cut after its last pixel", png[:-14], RGB, "read")
    yield Case(group, "PNG with bytes after its end", png + b"more" * 100, RGB, "read")
    yield Case(
        group,
        "PNG of Apple's own kind",
        with_chunks(png, png_chunk(b"CgBI", bytes(4))),
        "a PNG of Apple's own kind",
        "refused by name",
    )
    webp = encoded(RGB, "WEBP")
    yield Case(group, "WebP cut in the middle", webp[: len(webp) // 2], REFUSED, "refused")
    yield Case(group, "WebP with bytes after its end", webp + b"more" * 100, RGB, "read")
    yield Case(group, "WebP with a wrong file length", webp[:4] + b"\xff\xff\0\0" + webp[8:], RGB, "read")
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate"):
        data = encoded(RGB, "TIFF", compression=compression)[:3000]
        yield Case(group, f"TIFF cut in the middle, compression {compression}", data, REFUSED, "refused")
    deflate = encoded(RGB, "TIFF", compression="tiff_adobe_deflate")
    yield Case(
        group,
        "TIFF with broken deflate data",
        deflate[:1000] + b"\xff" * 400 + deflate[1400:],
        REFUSED,
        "refused",
    )
    for image_format in ("HEIC", "AVIF"):
        data = encoded(RGB, image_format)[:-20]
        yield Case(group, f"{image_format} cut short", data, REFUSED, "refused")
    yield Case(
        group,
        "AVIF whose major brand is mif1",
        encoded(RGB, "AVIF").replace(b"avif", b"mif1", 1),
        RGB,
        "read",
        3,
    )
