from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from model.color_profile import to_srgb
from tests.conftest import picture
from tests.model import icc_profiles as icc

MUTED = icc.muted(picture(3, 200, 150))


@pytest.mark.parametrize(
    ("primaries", "gamma"),
    [(icc.DISPLAY_P3, None), (icc.ADOBE_RGB, icc.ADOBE_GAMMA), (icc.ADOBE_RGB, 1.8), (icc.SRGB, 1.0)],
)
def test_colors_of_another_space_are_their_srgb_twins(primaries: icc.Floats, gamma: float | None) -> None:
    wide = icc.srgb_pixels_in(MUTED, primaries, gamma)
    assert np.abs(wide.astype(int) - MUTED).max() > 5
    in_srgb = np.asarray(to_srgb(Image.fromarray(wide), icc.matrix_profile(primaries, gamma)))
    difference = np.abs(in_srgb.astype(int) - MUTED)
    assert difference.mean() < (0.3 if gamma != 1.0 else 1)  # 256 linear levels are few in the shadows
    assert difference.max() <= (2 if gamma != 1.0 else 4)


def test_colors_that_srgb_lacks_are_clipped() -> None:
    green = Image.new("RGB", (4, 4), (0, 255, 0))
    assert to_srgb(green, icc.matrix_profile(icc.DISPLAY_P3)).getpixel((0, 0)) == (0, 255, 0)


@pytest.mark.parametrize("gamma", [None, 2.2])
def test_a_profile_that_is_nearly_srgb_changes_no_pixel(gamma: float | None) -> None:
    pixels = picture(3)
    nearly = icc.SRGB + 2e-5
    after = np.asarray(to_srgb(Image.fromarray(pixels), icc.matrix_profile(nearly, gamma)))
    assert np.array_equal(after, pixels) == (gamma is None)  # a gamma of 2.2 is visibly another curve in the shadows


def test_grey_and_inks_become_rgb() -> None:
    grey = picture(3)[:, :, 0]
    after = to_srgb(Image.fromarray(grey), icc.grey_profile(1.0))
    assert np.abs(np.asarray(after).astype(int)[:, :, 1] - icc.grey_in_srgb(grey, 1.0)).max() <= 1
    inks = np.concatenate([picture(3), picture(4)[:, :, :1]], axis=2) // 2
    after = to_srgb(Image.fromarray(inks, "CMYK"), icc.cmyk_profile())
    assert np.abs(np.asarray(after).astype(int) - icc.cmyk_in_srgb(inks)).max() <= 1


@pytest.mark.parametrize(
    "profile",
    [b"", b"x", bytes(500), icc.matrix_profile(icc.ADOBE_RGB, 2.2)[:300], icc.grey_profile(1.0), icc.cmyk_profile()],
)
def test_a_profile_that_does_not_fit_is_ignored(profile: bytes) -> None:
    pixels = picture(3)
    assert np.array_equal(np.asarray(to_srgb(Image.fromarray(pixels), profile)), pixels)


def test_threads_share_a_transform() -> None:
    profile = icc.matrix_profile(icc.DISPLAY_P3)
    pictures = [icc.muted(picture(seed, 300, 200)) for seed in range(8)]
    wide = [icc.srgb_pixels_in(pixels, icc.DISPLAY_P3) for pixels in pictures] * 8
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda pixels: to_srgb(Image.fromarray(pixels), profile), wide))
    for image, pixels in zip(images, pictures * 8, strict=True):
        assert np.abs(np.asarray(image).astype(int) - pixels).max() <= 2
