import numpy as np
import pytest

from tests.training.synthetic.solids import light_from
from training.synthetic.scenes.occlusion import occlude

LIGHT = light_from((1, 0, 1))


def covered(size: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    picture = np.full((*size, 3), 5.0, np.float32)
    covered_picture, _ = occlude(picture, LIGHT, np.random.default_rng(seed))
    return picture, covered_picture


@pytest.mark.parametrize("size", [(60, 90), (20, 20), (9, 40)])
def test_something_darker_hides_a_part(size: tuple[int, int]) -> None:
    hidden = []
    for seed in range(40):
        before, after = covered(size, seed)
        assert (before == 5).all()
        assert after.shape == before.shape
        assert after.dtype == np.float32
        assert np.isfinite(after).all()
        assert after.min() >= 0
        assert after.max() <= 5 + 1e-5
        hidden.append((after < 4.9).any(-1).mean())
    assert np.mean(np.array(hidden) > 0) > 0.6
    assert np.mean(hidden) < 0.6
    assert np.mean(np.array(hidden) > 0.95) < 0.2


def test_it_follows_from_its_generator() -> None:
    np.testing.assert_array_equal(covered((30, 30), 1)[1], covered((30, 30), 1)[1])
    assert len({covered((30, 30), seed)[1].tobytes() for seed in range(20)}) > 10


def test_the_cover_says_which_pixels_are_hidden() -> None:
    for seed in range(20):
        picture = np.full((40, 50, 3), 5.0, np.float32)
        after, cover = occlude(picture, LIGHT, np.random.default_rng(seed))
        assert cover.shape == (40, 50)
        assert 0 <= cover.min() <= cover.max() <= 1
        np.testing.assert_allclose(after[cover == 0], 5)
        assert (after[cover == 1] < 4.9).all()
