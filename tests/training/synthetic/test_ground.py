import numpy as np

from training.synthetic.scenes.ground import make_ground

LOWER, UPPER = np.array([-6.0, -5.0]), np.array([6.0, 5.0])


def test_grounds_are_pictures_of_their_area_in_range_and_differ() -> None:
    means, textures = [], []
    for seed in range(60):
        plan, colours = make_ground(LOWER, UPPER, 12, np.random.default_rng(seed))
        assert plan.size == (120, 144)
        assert colours.shape == (120, 144, 3)
        assert colours.dtype == np.float32
        assert np.isfinite(colours).all()
        assert colours.min() >= 0
        assert colours.max() <= 255
        means.append(colours.mean((0, 1)))
        textures.append(colours.mean(2).std())
    assert np.std(means, axis=0).min() > 15
    assert min(textures) > 1
    # Roads are grey.
    assert np.median(np.ptp(means, axis=1)) < 25


def test_a_ground_follows_from_its_generator() -> None:
    first, again, other = (make_ground(LOWER, UPPER, 8, np.random.default_rng(seed))[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_tiny_grounds_work() -> None:
    for seed in range(20):
        plan, colours = make_ground(np.array([-1.0, -1]), np.array([1.0, 1]), 2, np.random.default_rng(seed))
        assert colours.shape == (*plan.size, 3)
        assert np.isfinite(colours).all()


def test_grounds_of_edition_2_are_smoother_and_in_range() -> None:
    textures: dict[int, list[float]] = {1: [], 2: []}
    for edition, found in textures.items():
        for seed in range(60):
            _, colours = make_ground(LOWER, UPPER, 12, np.random.default_rng(seed), edition)
            assert 0 <= colours.min() <= colours.max() <= 255
            grey = colours.mean(2)
            found.append(float(np.median(np.abs(np.diff(grey, axis=1))) / grey.mean()))
    assert np.median(textures[2]) < 0.8 * np.median(textures[1])
