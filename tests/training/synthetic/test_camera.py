import numpy as np
import pytest

from tests.training.synthetic.solids import light_from
from training.synthetic.scenes.camera import draw_make, photograph

LIGHT = light_from((1, 0, 1))


def scene(seed: int, size: tuple[int, int] = (60, 80)) -> np.ndarray:
    """A grey ground with a brighter block upon it."""
    picture = np.full((*size, 3), 0.2, np.float32)
    picture[size[0] // 3 : 2 * size[0] // 3, size[1] // 3 : 2 * size[1] // 3] = 0.6
    return picture


@pytest.mark.parametrize("size", [(60, 80), (27, 27), (9, 12)])
def test_pictures_are_in_range_and_keep_what_they_show(size: tuple[int, int]) -> None:
    linear = scene(0, size)
    before = linear.copy()
    for seed in range(40):
        image = photograph(linear, LIGHT, np.random.default_rng(seed))
        assert image.shape == linear.shape
        assert np.isfinite(image).all()
        assert image.min() >= 0
        assert image.max() <= 255
        rows, columns = size
        assert image[rows // 2, columns // 2].mean() > image[1, 1].mean()
    np.testing.assert_array_equal(linear, before)


def test_a_picture_follows_from_its_generator() -> None:
    first, again, other = (photograph(scene(0), LIGHT, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_makes_differ_in_everything_and_are_the_same_each_time() -> None:
    makes = [draw_make(number) for number in range(60)]
    np.testing.assert_array_equal(draw_make(7).balance, makes[7].balance)
    for name in ("gamma", "shoulder", "contrast", "saturation", "blur_px", "halo_px", "noise", "chroma_noise"):
        assert len({getattr(make, name) for make in makes}) == 60, name
    warmth = [make.balance[0] / make.balance[2] for make in makes]
    assert min(warmth) < 0.9 < 1.0 < max(warmth)
    assert 0 < sum(make.halo == 0 for make in makes) < 60


def test_pictures_differ_in_brightness_sharpness_and_colour_cast() -> None:
    pictures = [photograph(scene(0, (60, 60)), LIGHT, np.random.default_rng(seed)) for seed in range(80)]
    grounds = np.array([picture[4:12, 4:12].mean((0, 1)) for picture in pictures])
    assert grounds.mean(1).std() > 8
    assert (grounds[:, 0] - grounds[:, 2]).std() > 2
    steepest = [np.abs(np.diff(picture[30].mean(-1))).max() / np.ptp(picture[30].mean(-1)) for picture in pictures]
    assert np.percentile(steepest, 95) > 1.5 * np.percentile(steepest, 5)
