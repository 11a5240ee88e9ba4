import numpy as np
import pytest

from model.exif import parse_exif
from model.image_file import DamagedError, ImageError
from model.tiff_file import open_tiff
from tests.conftest import picture
from tests.model.tiff_bytes import Value, exif_block, tiff_file

RGB = picture(1)
TAGS: dict[int, Value] = {256: 60, 257: 40, 258: [8, 8, 8], 262: 2, 277: 3}


@pytest.mark.parametrize("order", ["<", ">"])
def test_pixels_exif_and_profile_are_taken_apart(order: str) -> None:
    opened = open_tiff(tiff_file(TAGS | {0x0112: 6, 34675: b"profile"}, RGB.tobytes(), order=order))
    assert (opened.width, opened.height, opened.icc_profile) == (60, 40, b"profile")
    assert parse_exif(opened.exif).orientation == 6
    np.testing.assert_array_equal(np.asarray(opened.decode()), RGB)  # as it is stored


def test_strips_are_put_together() -> None:
    strips = [RGB[start : start + 16].tobytes() for start in range(0, 40, 16)]
    np.testing.assert_array_equal(np.asarray(open_tiff(tiff_file(TAGS | {278: 16}, *strips)).decode()), RGB)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({339: [3, 3, 3], 258: [32, 32, 32]}, "32-bit floating-point samples"),
        ({339: 2}, "8-bit signed integer samples"),
        ({258: 12, 262: 1, 277: 1}, "12 bits a sample"),
        ({258: [64, 64, 64]}, "64 bits a sample"),
        ({262: 8}, "colour space number 8"),
        ({262: 32803}, "raw data of a camera's sensor"),
        ({254: 1}, "a mere preview, as in camera raw files"),
        ({50706: 1}, r"camera raw file \(DNG\)"),
    ],
)
def test_samples_that_are_not_read_are_named(tags: dict[int, Value], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        open_tiff(tiff_file(TAGS | tags, RGB.tobytes()))


def test_an_arrangement_that_is_not_read_is_named() -> None:
    opened = open_tiff(tiff_file(TAGS | {258: [16, 16], 262: 1, 277: 2, 338: 2}, RGB.tobytes()))
    with pytest.raises(ImageError, match="the arrangement of samples in the TIFF image is not read: save it as"):
        opened.decode()


@pytest.mark.parametrize(
    "data", [b"II*\0" + bytes(30), exif_block({270: "no picture"}), b"MM\0*\xff\xff\xff\xff" + bytes(30)]
)
def test_without_a_size_there_is_no_picture(data: bytes) -> None:
    with pytest.raises(DamagedError, match="no directory with the size of its picture"):
        open_tiff(data)
