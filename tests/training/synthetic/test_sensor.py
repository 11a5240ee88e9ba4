import numpy as np
import pytest

from training.synthetic.scenes.sensor import expose

Image = np.ndarray


def scene(rows: int = 48, columns: int = 64) -> Image:
    """A bright square on grey."""
    linear = np.full((rows, columns, 3), 0.3, np.float32)
    linear[rows // 4 : rows // 2, columns // 4 : columns // 2] = 0.8
    return linear


def photographs(linear: Image, count: int = 40) -> Image:
    return np.stack([expose(linear, np.random.default_rng([3, seed])) for seed in range(count)])


@pytest.mark.parametrize("size", [(20, 20), (8, 28), (30, 9), (200, 90)])
def test_a_photograph_is_in_range_at_any_size(size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    for seed in range(10):
        linear = random.gamma(1, 0.5, (*size, 3)).astype(np.float32)
        image = expose(linear, np.random.default_rng(seed))
        assert image.shape == (*size, 3)
        assert image.dtype == np.float32
        assert np.isfinite(image).all()
        assert image.min() >= 0
        assert image.max() <= 255
        assert image.std() > 2


@pytest.mark.parametrize("level", [0.0, 1e-4, 500.0])
def test_extreme_light_stays_in_range(level: float) -> None:
    image = expose(np.full((20, 24, 3), level, np.float32), np.random.default_rng(1))
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert image.max() <= 255


def test_a_photograph_follows_from_its_generator() -> None:
    first, again, other = (expose(scene(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 1


def test_what_is_brighter_stays_brighter_in_the_same_place() -> None:
    images = photographs(scene())
    inside, outside = images[:, 15:21, 20:28].mean((1, 2, 3)), images[:, 32:44, 40:60].mean((1, 2, 3))
    assert (inside > outside + 10).all()


def test_exposure_follows_the_scenes_brightness() -> None:
    """Ten times the light is a somewhat brighter picture, not a white one."""
    dim, bright = (photographs(scene() * np.float32(factor)).mean() for factor in (0.3, 3))
    assert 40 < dim < bright < 215


def test_most_photographs_are_neither_black_nor_white() -> None:
    means = photographs(scene()).mean((1, 2, 3))
    assert means.min() > 15
    assert means.max() < 240
    assert means.std() > 8


def test_grey_stays_nearly_grey_and_colours_keep_their_order() -> None:
    grey = photographs(scene()).mean((1, 2))
    assert np.abs(grey - grey.mean(1, keepdims=True)).max() < 30
    red = photographs(scene() * np.array([1.5, 0.7, 0.4], np.float32)).mean((1, 2))
    assert (red[:, 0] > red[:, 1]).all()
    assert (red[:, 1] > red[:, 2]).all()


def test_sensors_are_noisy_more_or_less() -> None:
    flat = np.full((64, 64, 3), 0.4, np.float32)
    noise = photographs(flat)[:, 8:-8, 8:-8].std((1, 2)).mean(1)
    assert noise.min() < 0.6
    assert 0.5 < np.median(noise) < 6
    assert noise.max() < 30


def test_edges_are_blurred_more_or_less() -> None:
    """How much of the step between two halves lies in its two middle columns."""
    halves = np.full((40, 40, 3), 0.2, np.float32)
    halves[:, 20:] = 0.6
    profile = photographs(halves).mean((1, 3))
    step = profile[:, 30:36].mean(1) - profile[:, 4:10].mean(1)
    share = (profile[:, 20] - profile[:, 19]) / step
    assert (step > 10).all()
    assert share.min() < 0.5
    assert share.max() > 0.75
    assert (share > 0.1).all()
