import math

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model.aligned_view import aligned_view
from model.config import SANetConfig
from model.preprocessing import Preprocessing
from model.theta import turn_of
from tests.conftest import picture

Array = NDArray[np.float64]

ANGLES = [0, 1, 30, 45, 89.5, 90, 120, 135, 179, 180, -1, -30, -60, -90, -135, -179.5]
FLIP = np.diag([-1.0, 1.0])


def turning(angle_deg: float) -> Array:
    """How points (x, y pointing down) move when the content turns counter-clockwise."""
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    return np.array([[cos, sin], [-sin, cos]])


def theta_of(content: Array, shift: tuple[float, float] = (0.0, 0.0)) -> Array:
    """Theta maps output to input, the content moves from input to output."""
    return np.column_stack([np.linalg.inv(content), shift])


def difference_deg(first: float, second: float) -> float:
    return abs((first - second + 180) % 360 - 180)


def mean_error(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Within the inscribed circle, which a turn maps onto itself."""
    side = len(first)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    inside = np.hypot(x, y) < side / 2 - 2
    return float(np.abs(first.astype(float) - second.astype(float))[inside].mean())


@pytest.mark.parametrize("angle", ANGLES)
def test_the_aligned_view_turns_counter_clockwise_by_rotation_deg(angle: float) -> None:
    image = picture(3, 96, 96)
    theta = theta_of(turning(angle))
    turn = turn_of(theta)
    assert turn.rotation_deg == pytest.approx(angle)
    assert not turn.mirrored
    view = aligned_view(image, theta, SANetConfig(), Preprocessing())
    turned = np.asarray(Image.fromarray(image).rotate(turn.rotation_deg, Image.Resampling.BILINEAR))
    assert mean_error(view, turned) < 1
    wrong = np.asarray(Image.fromarray(image).rotate(turn.rotation_deg + 5, Image.Resampling.BILINEAR))
    assert mean_error(view, wrong) > 3


@pytest.mark.parametrize("angle", ANGLES)
def test_a_mirrored_view_is_flipped_first_and_turned_then(angle: float) -> None:
    image = picture(4, 96, 96)
    theta = theta_of(turning(angle) @ FLIP)
    turn = turn_of(theta)
    assert turn.rotation_deg == pytest.approx(angle)
    assert turn.mirrored
    flipped = Image.fromarray(image).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turned = np.asarray(flipped.rotate(turn.rotation_deg, Image.Resampling.BILINEAR))
    assert mean_error(aligned_view(image, theta, SANetConfig(), Preprocessing()), turned) < 1


@pytest.mark.parametrize(("angle", "quarters"), [(0, 0), (90, 1), (180, 2), (-90, 3)])
def test_quarter_turns_move_every_pixel_exactly(angle: int, quarters: int) -> None:
    image = picture(5, 64, 64)
    theta = np.round(theta_of(turning(angle)))
    assert np.array_equal(aligned_view(image, theta, SANetConfig(), Preprocessing()), np.rot90(image, quarters))
    assert turn_of(theta).rotation_deg == angle


def test_the_angle_is_that_of_the_polar_factor_by_svd() -> None:
    rng = np.random.default_rng(0)
    signs = set()
    for _ in range(500):
        theta = rng.normal(size=(2, 3))
        left, _, right = np.linalg.svd(np.linalg.inv(theta[:, :2]))
        factor = left @ right
        mirrored = bool(np.linalg.det(factor) < 0)
        signs.add(mirrored)
        if mirrored:
            factor = factor @ FLIP
        turn = turn_of(theta)
        assert turn.mirrored == mirrored
        assert difference_deg(turn.rotation_deg, math.degrees(math.atan2(factor[0, 1], factor[0, 0]))) < 1e-6
        assert -180 < turn.rotation_deg <= 180
    assert signs == {True, False}


@pytest.mark.parametrize("flip", [np.eye(2), FLIP])
def test_scale_shear_and_shift_do_not_turn(flip: Array) -> None:
    rng = np.random.default_rng(1)
    for angle in ANGLES:
        root = rng.normal(size=(2, 2))
        stretch = root @ root.T + 0.1 * np.eye(2)
        turn = turn_of(theta_of(turning(angle) @ stretch @ flip, (rng.normal(), rng.normal())))
        assert difference_deg(turn.rotation_deg, angle) < 1e-6


def test_a_half_turn_is_180_from_either_side() -> None:
    for zero in (0.0, -0.0):
        for other in (0.0, -0.0):
            assert turn_of([[-1, zero, 0], [other, -1, 0]]) == (180.0, False)
    assert turn_of(theta_of(turning(-180))).rotation_deg == pytest.approx(180)
    assert turn_of(theta_of(turning(-179.999))).rotation_deg == pytest.approx(-179.999)


def test_no_turn_is_a_positive_zero() -> None:
    for theta in ([[1, 0, 0], [0, 1, 0]], [[1, -0.0, 0], [0.0, 1, 0]], [[1, 0.0, 0], [-0.0, 1, 0]]):
        assert math.copysign(1, turn_of(theta).rotation_deg) == 1.0


def test_up_down_mirrors_are_a_left_right_flip_and_a_half_turn() -> None:
    assert turn_of([[-1, 0, 0], [0, 1, 0]]) == (0.0, True)
    assert turn_of([[1, 0, 0], [0, -1, 0]]) == (180.0, True)


@pytest.mark.parametrize("angle", [0, 30, -100, 180])
def test_a_theta_squeezed_onto_a_line_turns_by_its_limit(angle: float) -> None:
    squeezed = np.column_stack([np.linalg.inv(turning(angle)) @ np.diag([1.0, 0.0]), [0.3, 0.4]])
    assert difference_deg(turn_of(squeezed).rotation_deg, angle) < 1e-6


def test_a_blank_theta_turns_by_nothing() -> None:
    assert turn_of(np.zeros((2, 3))) == (0.0, False)
    assert turn_of([[0, 0, 0.5], [0, 0, -0.5]]) == (0.0, False)
