import io

import numpy as np
import pytest
import simplejpeg  # type: ignore[import-untyped]
from PIL import Image

from model.image_file import DamagedError
from model.jpeg_file import open_jpeg
from tests.conftest import picture
from tests.model.image_files import changed, encoded, jpeg_segment, scan_start, with_segments

RGB = picture(1, 61, 43)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "4:1:1"])
@pytest.mark.parametrize("progressive", [False, True])
def test_pixels_are_those_of_pillow(subsampling: str, progressive: bool) -> None:
    data = encoded(RGB, "JPEG", subsampling=subsampling, progressive=progressive, quality=80)
    opened = open_jpeg(data)
    assert (opened.width, opened.height) == (61, 43)
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(np.asarray(opened.decode()), np.asarray(image))


@pytest.mark.parametrize("transform", [0, 2])
def test_inks_are_those_of_pillow(transform: int) -> None:
    data = encoded(Image.fromarray(np.concatenate([RGB, RGB[:, :, :1]], axis=2), "CMYK"), "JPEG")
    data = changed(data, data.index(b"Adobe") + 11, transform)  # 2 is YCCK
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(np.asarray(open_jpeg(data).decode()), np.asarray(image))


def test_exif_and_profile_are_taken_out() -> None:
    data = with_segments(
        encoded(RGB, "JPEG"),
        jpeg_segment(0xE2, b"ICC_PROFILE\0\2\2second"),
        jpeg_segment(0xE1, b"Exif\0\0block"),
        jpeg_segment(0xE2, b"ICC_PROFILE\0\1\2first"),
    )
    opened = open_jpeg(data)
    assert (opened.exif, opened.icc_profile) == (b"block", b"firstsecond")


@pytest.mark.parametrize("parts", [[b"\1\2a"], [b"\1\1a", b"\1\1a"], [b"\0\1a"], [b"\1\2a", b"\3\2b"], [b""]])
def test_a_profile_whose_parts_do_not_fit_is_none(parts: list[bytes]) -> None:
    segments = [jpeg_segment(0xE2, b"ICC_PROFILE\0" + part) for part in parts]
    assert open_jpeg(with_segments(encoded(RGB, "JPEG"), *segments)).icc_profile == b""


def test_every_warning_of_libjpeg_about_coded_data_is_raised() -> None:
    data = encoded(picture(1, 320, 240), "JPEG", quality=90)
    rng = np.random.default_rng(0)
    num_seen = 0
    for position in rng.integers(scan_start(data), len(data) - 2, 200):
        damaged = changed(data, int(position))
        try:
            simplejpeg.decode_jpeg(damaged)
        except ValueError as error:
            num_seen += 1
            if "0xd9" not in str(error):
                with pytest.raises((ValueError, DamagedError)):
                    open_jpeg(damaged).decode()
    assert num_seen > 50


def test_a_huge_number_of_lines_is_only_a_number() -> None:
    data = encoded(RGB, "JPEG")
    frame = data.index(b"\xff\xc0")
    opened = open_jpeg(data[: frame + 5] + b"\xff\xff\xff\xff" + data[frame + 9 :])
    assert (opened.width, opened.height) == (65535, 65535)
