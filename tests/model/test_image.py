import io
import re
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile, PngImagePlugin

from model.image import ImageError, decode_image, encode_image, read_image
from tests.conftest import picture, png

Pixels = NDArray[np.uint8]

MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
LOSSLESS = {"PNG", "WEBP"}


def file_of(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    if image_format == "WEBP":
        options["lossless"] = options["exact"] = True
    if image_format == "JPEG":
        options |= {"quality": 98, "subsampling": 0}
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def agree(decoded: Pixels, expected: Pixels, image_format: str) -> bool:
    if decoded.shape != expected.shape or decoded.dtype != np.uint8:
        return False
    error = np.abs(decoded.astype(int) - expected.astype(int))
    return not error.any() if image_format in LOSSLESS else bool(error.mean() < 2)


@pytest.mark.parametrize("image_format", MEDIA_TYPES)
def test_each_format_gives_its_pixels_and_media_type(image_format: str) -> None:
    image = picture(0)
    decoded = decode_image(file_of(Image.fromarray(image), image_format))
    assert agree(decoded.pixels, image, image_format)
    assert decoded.media_type == MEDIA_TYPES[image_format]


def stored(upright: Pixels, orientation: int) -> Pixels:
    """What a camera of this EXIF orientation writes: row 0 and column 0 of the file lie where the standard says."""
    return {
        1: upright,  # top, left
        2: upright[:, ::-1],  # top, right
        3: upright[::-1, ::-1],  # bottom, right
        4: upright[::-1],  # bottom, left
        5: upright.transpose(1, 0, 2),  # left, top
        6: upright.transpose(1, 0, 2)[::-1],  # right, top
        7: upright.transpose(1, 0, 2)[::-1, ::-1],  # right, bottom
        8: upright.transpose(1, 0, 2)[:, ::-1],  # left, bottom
    }[orientation]


@pytest.mark.parametrize("image_format", MEDIA_TYPES)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_set_upright(image_format: str, orientation: int) -> None:
    upright = picture(1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = file_of(Image.fromarray(np.ascontiguousarray(stored(upright, orientation))), image_format, exif=exif)
    assert agree(decode_image(data).pixels, upright, image_format)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decode_image(file_of(Image.fromarray(picture(1)), "PNG", exif=exif)).pixels, picture(1))


@pytest.mark.parametrize("image_format", MEDIA_TYPES)
def test_grey_becomes_three_equal_channels(image_format: str) -> None:
    grey = picture(2)[:, :, 0]
    expected = np.stack([grey, grey, grey], axis=2)
    assert agree(decode_image(file_of(Image.fromarray(grey), image_format)).pixels, expected, image_format)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_alpha_is_dropped_and_the_colours_below_it_stay(image_format: str) -> None:
    image, alpha = picture(3), picture(4)[:, :, :1]
    alpha[:10] = 0
    data = file_of(Image.fromarray(np.concatenate([image, alpha], axis=2)), image_format)
    assert Image.open(io.BytesIO(data)).mode == "RGBA"
    assert np.array_equal(decode_image(data).pixels, image)


def test_grey_with_alpha_is_grey() -> None:
    grey, alpha = picture(3)[:, :, 0], picture(4)[:, :, 0]
    data = file_of(Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]), "PNG")
    assert Image.open(io.BytesIO(data)).mode == "LA"
    assert np.array_equal(decode_image(data).pixels, np.stack([grey] * 3, axis=2))


@pytest.mark.parametrize("transparency", [None, 3, bytes(range(0, 160, 10))])
def test_a_palette_gives_its_colours(transparency: int | bytes | None) -> None:
    palette = np.random.default_rng(0).integers(0, 256, (16, 3), np.uint8)
    indices = picture(5)[:, :, 0] // 16
    image = Image.fromarray(indices, "L")
    image.putpalette(palette.tobytes())
    data = file_of(image, "PNG", **({} if transparency is None else {"transparency": transparency}))
    assert Image.open(io.BytesIO(data)).mode == "P"
    assert np.array_equal(decode_image(data).pixels, palette[indices])


def test_one_bit_is_black_and_white() -> None:
    bits = picture(6)[:, :, 0] > 127
    data = file_of(Image.fromarray(bits), "PNG")
    assert Image.open(io.BytesIO(data)).mode == "1"
    assert np.array_equal(decode_image(data).pixels, np.stack([bits * np.uint8(255)] * 3, axis=2))


def test_cmyk_is_what_a_viewer_shows() -> None:
    image = picture(7)
    inks = np.concatenate([255 - image, np.zeros_like(image[:, :, :1])], axis=2)
    data = file_of(Image.fromarray(inks, "CMYK"), "JPEG")
    assert Image.open(io.BytesIO(data)).mode == "CMYK"
    assert agree(decode_image(data).pixels, image, "JPEG")


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30)).astype(np.uint16)
    deep[0, :6] = [0, 255, 256, 32768, 65279, 65535]
    data = file_of(Image.fromarray(deep), "PNG")
    assert Image.open(io.BytesIO(data)).mode == "I;16"
    pixels = decode_image(data).pixels
    assert pixels[0, :6, 1].tolist() == [0, 0, 1, 128, 254, 255]
    assert np.array_equal(pixels, np.stack([deep // 256] * 3, axis=2))


def test_sixteen_bit_grey_is_set_upright_too() -> None:
    upright = picture(1)[:, :, 0].astype(np.uint16) * 257
    exif = Image.Exif()
    exif[0x0112] = 6
    data = file_of(Image.fromarray(np.ascontiguousarray(upright.T[::-1])), "PNG", exif=exif)
    assert np.array_equal(decode_image(data).pixels[:, :, 2], picture(1)[:, :, 0])


@pytest.mark.parametrize("image_format", MEDIA_TYPES)
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9, 0.98])
def test_a_truncated_file_is_refused(image_format: str, share: float) -> None:
    data = file_of(Image.fromarray(picture(8, 200, 150)), image_format)
    with pytest.raises(ImageError):
        decode_image(data[: int(len(data) * share)])


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(ImageError, match="the file is empty"):
        decode_image(b"")


@pytest.mark.parametrize("data", [b"\0", b"not an image", b"%PDF-1.7 ...", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"not a JPEG, PNG or WebP image|damaged"):
        decode_image(data)


@pytest.mark.parametrize("image_format", ["GIF", "BMP", "TIFF", "PPM", "ICO"])
def test_other_formats_are_refused(image_format: str) -> None:
    data = file_of(Image.fromarray(picture(9, 64, 64)), image_format)
    with pytest.raises(ImageError, match="not a JPEG, PNG or WebP image"):
        decode_image(data)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_an_animation_is_refused(image_format: str) -> None:
    frames = [Image.fromarray(picture(seed)) for seed in (1, 2)]
    data = file_of(frames[0], image_format, save_all=True, append_images=frames[1:], duration=100)
    with pytest.raises(ImageError, match="animated: send one still frame"):
        decode_image(data)


def test_of_a_jpeg_that_brings_further_pictures_along_the_first_counts() -> None:
    frames = [Image.fromarray(picture(seed)) for seed in (1, 2)]
    data = file_of(frames[0], "MPO", save_all=True, append_images=frames[1:], quality=98, subsampling=0)
    assert Image.open(io.BytesIO(data)).format == "MPO"
    decoded = decode_image(data)
    assert decoded.media_type == "image/jpeg"
    assert agree(decoded.pixels, picture(1), "JPEG")


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 100), (100, 3)])
def test_an_image_too_small_for_a_vehicle_is_refused(width: int, height: int) -> None:
    with pytest.raises(ImageError, match=f"the image is {width} x {height}: a vehicle needs 4 pixels a side"):
        decode_image(png(0, width, height))


def test_the_smallest_image_is_four_pixels_a_side() -> None:
    assert np.array_equal(decode_image(png(0, 4, 4)).pixels, picture(0, 4, 4))


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and brings no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(40_000, 40_000), (10_001, 10_000), (2**31 - 1, 4), (14_000, 9_000)])
def test_a_huge_header_is_refused_before_its_pixels_are_allocated(
    width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: loaded.append(self.size))
    with pytest.raises(ImageError, match="more than 100,000,000 pixels: send a smaller one or cut it"):
        decode_image(png_header(width, height))
    assert not loaded


def test_the_largest_image_is_the_last_that_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.image.MAX_PIXELS", 60 * 40)
    assert np.array_equal(decode_image(png(0, 60, 40)).pixels, picture(0, 60, 40))
    with pytest.raises(ImageError, match="61 x 40, more than 2,400 pixels"):
        decode_image(png(0, 61, 40))


FLIPS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8)


def decode_damaged(image_format: str, flips: list[tuple[float, int]], kept: float) -> None:
    data = bytearray(file_of(Image.fromarray(picture(10, 24, 16)), image_format))
    for position, value in flips:
        data[int(position * len(data))] = value
    try:
        pixels = decode_image(bytes(data[: 1 + int(kept * len(data))])).pixels
    except ImageError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3


@settings(max_examples=250, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(sorted(MEDIA_TYPES)), FLIPS, st.floats(0.3, 1))
def test_flipped_and_missing_bytes_never_raise_anything_else(
    image_format: str, flips: list[tuple[float, int]], kept: float
) -> None:
    decode_damaged(image_format, flips, kept)


@pytest.mark.trial
@settings(max_examples=50_000, deadline=None, database=None)
@given(st.sampled_from(sorted(MEDIA_TYPES)), FLIPS, st.floats(0.3, 1))
def test_flipped_and_missing_bytes_never_raise_anything_else_in_a_long_run(
    image_format: str, flips: list[tuple[float, int]], kept: float
) -> None:
    decode_damaged(image_format, flips, kept)


def test_whatever_a_decoder_raises_the_image_is_damaged() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 2_000_000, zip=True)  # Pillow raises a bare ValueError above 1 MB
    with pytest.raises(ImageError, match=r"the image is damaged and cannot be decoded \(.+\): send it again"):
        decode_image(file_of(Image.fromarray(picture(0)), "PNG", pnginfo=text))


def test_a_png_comes_back_as_it_was() -> None:
    assert np.array_equal(decode_image(encode_image(picture(0), "PNG")).pixels, picture(0))


def test_a_jpeg_comes_back_close() -> None:
    image = picture(0, 160, 120)
    data = encode_image(image, "JPEG")
    assert decode_image(data).media_type == "image/jpeg"
    assert np.abs(decode_image(data).pixels.astype(int) - image).mean() < 4


def test_a_file_is_read_and_its_errors_name_it(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(png(0))
    bad.write_bytes(b"nothing")
    assert np.array_equal(read_image(good), picture(0))
    with pytest.raises(ImageError, match=re.escape(str(bad)) + ": the file is not a JPEG"):
        read_image(bad)
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "absent.png")


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_exif_that_cannot_be_read_turns_nothing(image_format: str) -> None:
    plain = file_of(Image.fromarray(picture(1)), image_format)
    junk = file_of(Image.fromarray(picture(1)), image_format, exif=b"Exif\0\0junk that is no TIFF header")
    np.testing.assert_array_equal(decode_image(junk).pixels, decode_image(plain).pixels)


def test_decoding_in_threads_leaves_the_warning_filters_alone() -> None:
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode_image, [png(1)] * 500))
    assert warnings.filters == before
