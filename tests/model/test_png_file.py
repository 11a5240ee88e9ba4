import zlib

import numpy as np
import pytest

from model.color_profile import MAX_PROFILE_BYTES
from model.image_file import DamagedError
from model.png_file import open_png
from tests.conftest import picture
from tests.model.image_files import changed, encoded, png_chunk, with_chunks

RGB = picture(1)
PNG = encoded(RGB, "PNG")


def test_pixels_exif_and_profile_are_taken_apart() -> None:
    chunks = png_chunk(b"eXIf", b"block"), png_chunk(b"iCCP", b"name\0\0" + zlib.compress(b"profile"))
    opened = open_png(with_chunks(PNG, *chunks))
    assert (opened.width, opened.height, opened.exif, opened.icc_profile) == (60, 40, b"block", b"profile")
    np.testing.assert_array_equal(np.asarray(opened.decode()), RGB)


def test_chunks_after_the_pixels_count_too() -> None:
    assert open_png(PNG[:-12] + png_chunk(b"eXIf", b"block") + PNG[-12:]).exif == b"block"


@pytest.mark.parametrize("length", [MAX_PROFILE_BYTES + 1, 3 * MAX_PROFILE_BYTES])
def test_a_profile_that_unpacks_to_too_much_is_none(length: int) -> None:
    packed = zlib.compress(bytes(length))
    assert open_png(with_chunks(PNG, png_chunk(b"iCCP", b"name\0\0" + packed))).icc_profile == b""


@pytest.mark.parametrize("body", [b"", b"name", b"name\0", b"name\0\0", b"name\0\0" + zlib.compress(b"profile")[:-1]])
def test_a_profile_that_is_not_whole_is_none(body: bytes) -> None:
    assert open_png(with_chunks(PNG, png_chunk(b"iCCP", body))).icc_profile == b""


def test_no_flipped_byte_changes_a_pixel_unseen() -> None:
    small = picture(1, 16, 12)
    png = encoded(small, "PNG")
    num_refused = 0
    for position in range(8, len(png)):  # from behind the signature, by which the file is known
        try:
            pixels = np.asarray(open_png(changed(png, position)).decode())
        except (DamagedError, OSError, SyntaxError, ValueError):
            num_refused += 1
        else:
            np.testing.assert_array_equal(pixels, small)
    assert num_refused > len(png) // 2
