import cmath
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.alignment.circular import circular_mean_deg, residuals_deg


def test_the_mean_goes_round_the_end_of_the_circle() -> None:
    assert circular_mean_deg(np.array([170.0, -170.0])) == pytest.approx(180) or circular_mean_deg(
        np.array([170.0, -170.0])
    ) == pytest.approx(-180)
    assert circular_mean_deg(np.array([350.0, 20.0])) == pytest.approx(5)


def test_modulo_180_an_angle_and_its_opposite_are_one() -> None:
    angles = np.array([10.0, 190.0, -170.0, 12.0, 8.0])
    assert circular_mean_deg(angles, 180.0) == pytest.approx(10)
    assert residuals_deg(angles, 180.0) == pytest.approx([0, 0, 0, 2, 2], abs=1e-9)
    assert statistics.median(residuals_deg(np.array([0.0, 180.0]), 360.0)) == pytest.approx(90)


@given(st.lists(st.floats(-720, 720), min_size=1, max_size=20), st.sampled_from([360.0, 180.0]))
def test_residuals_against_a_loop(angles: list[float], period: float) -> None:
    turns = [cmath.exp(2j * math.pi * angle / period) for angle in angles]
    total = sum(turns)
    if abs(total) < 1e-6:
        return  # no mean direction
    expected = [abs(cmath.phase(turn / total)) * period / (2 * math.pi) for turn in turns]
    assert residuals_deg(np.array(angles), period) == pytest.approx(expected, abs=1e-5)


def test_each_row_has_its_own_mean() -> None:
    rows = np.array([[0.0, 10.0], [100.0, 130.0]])
    assert residuals_deg(rows) == pytest.approx(np.array([[5, 5], [15, 15]]))


def test_even_angles_have_a_median_of_a_quarter_of_the_period() -> None:
    angles = np.random.default_rng(0).uniform(-180, 180, 20_000)
    assert np.median(residuals_deg(angles)) == pytest.approx(90, abs=2)
    assert np.median(residuals_deg(angles, 180.0)) == pytest.approx(45, abs=1)
