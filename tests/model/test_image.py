import io
import re
import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile

from model.image import (
    ACCEPTED,
    BROWSER_MEDIA_TYPES,
    FORMATS,
    ImageError,
    _MemoryBudget,
    decode_image,
    encode_image,
    read_image,
)
from tests.conftest import SHARED, picture, png
from tests.model import icc_profiles as icc
from tests.model.image_files import encoded, jpeg_segment, png_chunk, stored, with_chunks, with_segments
from tests.model.tiff_bytes import exif_block

Pixels = NDArray[np.uint8]

MEDIA_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "HEIC": "image/heic",
    "AVIF": "image/avif",
}
WITH_EXIF_OPTION = ["JPEG", "PNG", "WEBP"]
LOSSLESS = {"PNG", "WEBP", "TIFF"}


def agree(decoded: Pixels, expected: Pixels, image_format: str) -> bool:
    if decoded.shape != expected.shape or decoded.dtype != np.uint8:
        return False
    error = np.abs(decoded.astype(int) - expected.astype(int))
    return not error.any() if image_format in LOSSLESS else bool(error.mean() < 2)


@pytest.mark.parametrize("image_format", MEDIA_TYPES)
def test_each_format_gives_its_pixels_and_media_type(image_format: str) -> None:
    image = picture(0)
    decoded = decode_image(encoded(Image.fromarray(image), image_format))
    assert agree(decoded.pixels, image, image_format)
    assert decoded.media_type == MEDIA_TYPES[image_format]


@pytest.mark.parametrize("image_format", WITH_EXIF_OPTION)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_set_upright(image_format: str, orientation: int) -> None:
    upright = picture(1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(stored(upright, orientation))), image_format, exif=exif)
    assert agree(decode_image(data).pixels, upright, image_format)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decode_image(encoded(Image.fromarray(picture(1)), "PNG", exif=exif)).pixels, picture(1))


@pytest.mark.parametrize("image_format", MEDIA_TYPES)
def test_grey_becomes_three_equal_channels(image_format: str) -> None:
    grey = picture(2)[:, :, 0]
    expected = np.stack([grey, grey, grey], axis=2)
    assert agree(decode_image(encoded(Image.fromarray(grey), image_format)).pixels, expected, image_format)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_alpha_is_dropped_and_the_colours_below_it_stay(image_format: str) -> None:
    image, alpha = picture(3), picture(4)[:, :, :1]
    alpha[:10] = 0
    data = encoded(Image.fromarray(np.concatenate([image, alpha], axis=2)), image_format)
    assert Image.open(io.BytesIO(data)).mode == "RGBA"
    assert np.array_equal(decode_image(data).pixels, image)


def test_grey_with_alpha_is_grey() -> None:
    grey, alpha = picture(3)[:, :, 0], picture(4)[:, :, 0]
    data = encoded(Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]), "PNG")
    assert Image.open(io.BytesIO(data)).mode == "LA"
    assert np.array_equal(decode_image(data).pixels, np.stack([grey] * 3, axis=2))


@pytest.mark.parametrize("transparency", [None, 3, bytes(range(0, 160, 10))])
def test_a_palette_gives_its_colours(transparency: int | bytes | None) -> None:
    palette = np.random.default_rng(0).integers(0, 256, (16, 3), np.uint8)
    indices = picture(5)[:, :, 0] // 16
    image = Image.fromarray(indices, "L")
    image.putpalette(palette.tobytes())
    data = encoded(image, "PNG", **({} if transparency is None else {"transparency": transparency}))
    assert Image.open(io.BytesIO(data)).mode == "P"
    assert np.array_equal(decode_image(data).pixels, palette[indices])


def test_one_bit_is_black_and_white() -> None:
    bits = picture(6)[:, :, 0] > 127
    data = encoded(Image.fromarray(bits), "PNG")
    assert Image.open(io.BytesIO(data)).mode == "1"
    assert np.array_equal(decode_image(data).pixels, np.stack([bits * np.uint8(255)] * 3, axis=2))


def test_cmyk_is_what_a_viewer_shows() -> None:
    image = picture(7)
    inks = np.concatenate([255 - image, np.zeros_like(image[:, :, :1])], axis=2)
    data = encoded(Image.fromarray(inks, "CMYK"), "JPEG")
    assert Image.open(io.BytesIO(data)).mode == "CMYK"
    assert agree(decode_image(data).pixels, image, "JPEG")


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30)).astype(np.uint16)
    deep[0, :6] = [0, 255, 256, 32768, 65279, 65535]
    data = encoded(Image.fromarray(deep), "PNG")
    assert Image.open(io.BytesIO(data)).mode == "I;16"
    pixels = decode_image(data).pixels
    assert pixels[0, :6, 1].tolist() == [0, 0, 1, 128, 254, 255]
    assert np.array_equal(pixels, np.stack([deep // 256] * 3, axis=2))


def test_sixteen_bit_grey_is_set_upright_too() -> None:
    upright = picture(1)[:, :, 0].astype(np.uint16) * 257
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.fromarray(np.ascontiguousarray(upright.T[::-1])), "PNG", exif=exif)
    assert np.array_equal(decode_image(data).pixels[:, :, 2], picture(1)[:, :, 0])


@pytest.mark.parametrize("image_format", MEDIA_TYPES)
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9, 0.98])
def test_a_truncated_file_is_refused(image_format: str, share: float) -> None:
    data = encoded(Image.fromarray(picture(8, 200, 150)), image_format)
    with pytest.raises(ImageError):
        decode_image(data[: int(len(data) * share)])


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(ImageError, match="the file is empty"):
        decode_image(b"")


@pytest.mark.parametrize("data", [b"\0", b"not an image", b"%PDF-1.7 ...", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"(not a|send) JPEG, PNG, WebP, TIFF, HEIC or AVIF|damaged"):
        decode_image(data)


@pytest.mark.parametrize("image_format", ["GIF", "BMP", "PPM", "ICO"])
def test_other_formats_are_refused(image_format: str) -> None:
    data = encoded(Image.fromarray(picture(9, 64, 64)), image_format)
    with pytest.raises(ImageError, match=rf"the file is .+: send {ACCEPTED}, for example after"):
        decode_image(data)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "AVIF"])
def test_an_animation_is_refused(image_format: str) -> None:
    frames = [Image.fromarray(picture(seed)) for seed in (1, 2)]
    data = encoded(frames[0], image_format, save_all=True, append_images=frames[1:], duration=100)
    with pytest.raises(ImageError, match="animated: send one still frame"):
        decode_image(data)


def test_of_a_jpeg_that_brings_further_pictures_along_the_first_counts() -> None:
    frames = [Image.fromarray(picture(seed)) for seed in (1, 2)]
    data = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:], quality=98, subsampling=0)
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


def with_profile_and_exif(image_format: str) -> bytes:
    """A small file that has everything: a colour profile, EXIF with time and place, pixels."""
    block = exif_block(
        {0x0112: 6},
        {0x9003: "2026:05:01 12:00:00", 0x9011: "+02:00"},
        {1: "N", 2: [(48, 1), (8, 1), (0, 1)], 3: "E", 4: [(11, 1), (34, 1), (0, 1)]},
    )
    profile = icc.matrix_profile(icc.ADOBE_RGB, icc.ADOBE_GAMMA)
    image = Image.fromarray(picture(10, 24, 16))
    if image_format == "TIFF":
        return encoded(image, "TIFF", icc_profile=profile, tiffinfo={0x0112: 6}, compression="tiff_lzw")
    exif = b"Exif\0\0" + block if image_format == "JPEG" else block
    return encoded(image, image_format, icc_profile=profile, exif=exif)


FILES = {image_format: with_profile_and_exif(image_format) for image_format in MEDIA_TYPES}


def decode_damaged(image_format: str, flips: list[tuple[float, int]], kept: float) -> None:
    data = bytearray(FILES[image_format])
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


JUNK = st.binary(max_size=400)


def decode_with_metadata(profile: bytes, exif: bytes) -> None:
    """Whatever the metadata: the picture, in some colours and turned somehow."""
    jpeg = with_segments(
        encoded(picture(10, 24, 16), "JPEG"),
        jpeg_segment(0xE1, b"Exif\0\0" + exif),
        jpeg_segment(0xE2, b"ICC_PROFILE\0\1\1" + profile),
    )
    iccp = png_chunk(b"iCCP", b"p\0\0" + zlib.compress(profile))
    for data in (jpeg, with_chunks(png(10, 24, 16), iccp, png_chunk(b"eXIf", exif))):
        assert sorted(decode_image(data).pixels.shape) == [3, 16, 24]


def overwritten(data: bytes, position: float, junk: bytes) -> bytes:
    start = int(position * len(data))
    return data[:start] + junk + data[start + len(junk) :]


METADATA = (st.floats(0, 1), st.floats(0, 1), JUNK, JUNK)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(*METADATA)
def test_no_metadata_makes_a_picture_unreadable(at: float, exif_at: float, junk: bytes, exif_junk: bytes) -> None:
    block = exif_block({0x0112: 6}, {0x9003: "2026:05:01 12:00:00"}, {1: "N", 2: [(48, 1), (8, 1), (0, 1)]})
    profile = icc.matrix_profile(icc.DISPLAY_P3, 2.2)
    decode_with_metadata(overwritten(profile, at, junk), overwritten(block, exif_at, exif_junk))


@pytest.mark.trial
@settings(max_examples=10_000, deadline=None, database=None)
@given(*METADATA)
def test_no_metadata_makes_a_picture_unreadable_in_a_long_run(
    at: float, exif_at: float, junk: bytes, exif_junk: bytes
) -> None:
    block = exif_block({0x0112: 6}, {0x9003: "2026:05:01 12:00:00"}, {1: "N", 2: [(48, 1), (8, 1), (0, 1)]})
    for profile in (icc.matrix_profile(icc.DISPLAY_P3, 2.2), icc.cmyk_profile(), icc.grey_profile(1.8)):
        decode_with_metadata(overwritten(profile, at, junk), overwritten(block, exif_at, exif_junk))


@pytest.mark.parametrize("error", [ValueError, OSError, SyntaxError, struct.error, IndexError, RuntimeError])
def test_whatever_a_decoder_raises_the_image_is_damaged(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(image: ImageFile.ImageFile) -> None:
        raise error("of two\nlines")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    message = "the image is damaged and cannot be decoded (of two lines): send it again"
    with pytest.raises(ImageError, match=re.escape(message)):
        decode_image(png(0))


def test_memory_that_runs_out_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(image: ImageFile.ImageFile) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(MemoryError):
        decode_image(png(0))


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
    with pytest.raises(ImageError, match=re.escape(f"{bad}: the file is not a {ACCEPTED} image")):
        read_image(bad)
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "absent.png")


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_exif_that_cannot_be_read_turns_nothing(image_format: str) -> None:
    plain = encoded(Image.fromarray(picture(1)), image_format)
    junk = encoded(Image.fromarray(picture(1)), image_format, exif=b"Exif\0\0junk that is no TIFF header")
    np.testing.assert_array_equal(decode_image(junk).pixels, decode_image(plain).pixels)


def test_a_memory_budget_lets_in_what_fits_and_what_is_too_large_alone() -> None:
    budget = _MemoryBudget(10)
    inside: list[str] = []
    with budget.of(6):
        with budget.of(4):
            inside.append("both")
        waiting = threading.Thread(target=lambda: inside.append(enter(budget, 1_000)))
        waiting.start()
        waiting.join(0.05)
        assert inside == ["both"]
    waiting.join()
    assert inside == ["both", "1000"]


def enter(budget: _MemoryBudget, num_bytes: int) -> str:
    with budget.of(num_bytes):
        return str(num_bytes)


def test_decoding_in_threads_leaves_the_warning_filters_alone() -> None:
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode_image, [png(1)] * 500))
    assert warnings.filters == before


def test_time_and_place_come_with_the_picture() -> None:
    exif = decode_image(FILES["PNG"]).exif
    assert exif.orientation == 6
    assert exif.captured_at is not None
    assert exif.captured_at.isoformat() == "2026-05-01T12:00:00+02:00"
    assert exif.latitude == pytest.approx(48 + 8 / 60)
    assert exif.longitude == pytest.approx(11 + 34 / 60)


@pytest.mark.parametrize("image_format", ["JPEG", "WEBP", "HEIC", "AVIF"])
def test_every_format_brings_the_same_exif(image_format: str) -> None:
    assert decode_image(FILES[image_format]).exif == decode_image(FILES["PNG"]).exif


def test_browsers_show_what_is_no_tiff_and_no_heic() -> None:
    assert set(FORMATS.values()) - BROWSER_MEDIA_TYPES == {"image/tiff", "image/heic"}


def fault(name: str) -> bytes:
    path = SHARED / "faults" / name
    if not path.is_file():
        pytest.skip("the fault reports are not here")
    return path.read_bytes()


@pytest.mark.parametrize("space", ["adobe", "display_p3", "generic"])
def test_a_reported_file_with_a_profile_is_its_srgb_twin(space: str) -> None:
    twin = decode_image(fault("21_icc_profile_ignored/vehicle_srgb.png")).pixels.astype(int)
    pixels = decode_image(fault(f"21_icc_profile_ignored/vehicle_{space}.png")).pixels
    assert np.abs(pixels - twin).max() <= 2


@pytest.mark.parametrize("name", ["2048_bytes_zeroed.jpg", "two_bytes_flipped.jpg"])
def test_a_reported_corrupt_file_is_refused(name: str) -> None:
    decode_image(fault("22_corrupt_jpeg_accepted/intact.jpg"))
    with pytest.raises(ImageError, match=r"damaged and cannot be decoded .*premature end of data segment"):
        decode_image(fault(f"22_corrupt_jpeg_accepted/{name}"))


def test_a_reported_file_without_end_marker_is_read() -> None:
    data = fault("24_jpeg_without_end_marker/noEOI.jpg")
    whole = np.asarray(Image.open(io.BytesIO(data + b"\xff\xd9")))
    np.testing.assert_array_equal(decode_image(data).pixels, whole)
