import numpy as np

from tests.training.synthetic.solids import light_from
from training.synthetic.scenes.wet_ground import wet

LIGHT = light_from((0, 0, 1), sky=0.8)
POINTS = np.random.default_rng(1).uniform(-8, 8, (500, 2)).astype(np.float32)
DRY = np.full((500, 3), 0.2, np.float32)
OPEN = np.zeros((500, 1), np.float32)


def seen(eye: tuple[float, float, float], wetness: float, hidden: np.ndarray = OPEN) -> np.ndarray:
    return wet(DRY, POINTS, hidden, np.array(eye), LIGHT, wetness, np.random.default_rng(3))


def test_dry_ground_stays_as_it_is() -> None:
    np.testing.assert_allclose(seen((0, 0, 50), 0.0), DRY)


def test_from_right_above_wet_ground_is_darker() -> None:
    drenched, damp = seen((0, 0, 50), 1.0), seen((0, 0, 50), 0.3)
    assert drenched.mean() < damp.mean() < 0.2
    assert drenched.std() > 0.005  # puddles


def test_a_low_view_sees_the_sky_in_it_but_not_below_a_vehicle() -> None:
    flat, steep = seen((-100, 0, 20), 1.0), seen((0, 0, 50), 1.0)
    assert flat.mean() > steep.mean()
    hidden = seen((-100, 0, 20), 1.0, np.ones((500, 1), np.float32))
    assert (hidden <= flat + 1e-6).all()
    assert hidden.mean() < 0.2
