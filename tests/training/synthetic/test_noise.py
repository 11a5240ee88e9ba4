import numpy as np
import pytest

from training.synthetic.noise import smooth_noise


@pytest.mark.parametrize(("coarse", "octaves"), [(6, 1), (6, 3), (20, 4)])
def test_noise_has_about_zero_mean_and_unit_spread(coarse: float, octaves: int) -> None:
    pictures = np.stack(
        [smooth_noise(np.random.default_rng(seed), (64, 96), coarse, octaves, 0.7) for seed in range(60)]
    )
    assert abs(pictures.mean()) < 0.1
    assert 0.75 < pictures.std() < 1.25
    assert pictures.dtype == np.float32


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 90), (20, 3), (33, 20)])
def test_noise_has_the_size_asked_for(size: tuple[int, int]) -> None:
    noise = smooth_noise(np.random.default_rng(0), size, 4)
    assert noise.shape == size
    assert np.isfinite(noise).all()


def test_noise_follows_from_its_generator() -> None:
    first, again, other = (smooth_noise(np.random.default_rng(seed), (16, 16), 4) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_coarser_noise_is_smoother() -> None:
    def roughness(coarse: float, octaves: int = 1) -> float:
        noise = smooth_noise(np.random.default_rng(3), (128, 128), coarse, octaves)
        return float(np.abs(np.diff(noise, axis=1)).mean())

    assert roughness(4) * 3 < roughness(32)
    assert roughness(4) * 1.5 < roughness(4, 4)


def test_blobs_are_as_high_as_wide() -> None:
    def neighbours(noise: np.ndarray, axis: int) -> float:
        return float(np.abs(np.diff(noise, axis=axis)).mean())

    for size in ((60, 240), (240, 60)):
        noise = smooth_noise(np.random.default_rng(4), size, 12, 1)
        assert neighbours(noise, 0) == pytest.approx(neighbours(noise, 1), rel=0.35)
