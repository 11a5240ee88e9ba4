import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.theta import turn_of
from training.alignment_statistics import alignment_statistics

Array = NDArray[np.float64]


def turning(angle_deg: float, scale: float = 1.0, *, mirror: bool = False) -> Array:
    """A theta that samples an area of scale², turned; mirrored left to right first, if asked."""
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    linear = scale * np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if mirror else 1.0, 1.0])
    return np.column_stack([linear, [0.0, 0.0]])


def thetas(*several: Array) -> Tensor:
    return torch.from_numpy(np.stack(several)).float()


def circular_std_deg(angles_deg: list[float]) -> float:
    """sqrt(-2 ln R), R the length of the mean of the unit vectors (Mardia & Jupp 2000)."""
    mean = sum(complex(math.cos(math.radians(a)), math.sin(math.radians(a))) for a in angles_deg) / len(angles_deg)
    return math.degrees(math.sqrt(-2 * math.log(abs(mean))))


def outside_share(theta: Tensor) -> float:
    """Of 16 x 16 points per image, the centres of the output's pixels."""
    outside = 0
    for one in theta.double().numpy():
        for row in range(16):
            for column in range(16):
                x, y = one @ np.array([(2 * column + 1) / 16 - 1, (2 * row + 1) / 16 - 1, 1.0])
                outside += abs(x) > 1 or abs(y) > 1
    return outside / (256 * len(theta))


def test_an_untrained_alignment_shows_nothing() -> None:
    statistics = alignment_statistics(thetas(*[turning(0)] * 5))
    assert statistics == {"theta_det_mean": 1, "theta_det_min": 1, "rotation_spread_deg": 0, "outside_share": 0}
    assert all(type(value) is float for value in statistics.values())


@pytest.mark.parametrize(
    "angles", [[0, 90], [10, 20, 40], [179, -179], [170, 175, -178, -160, 180], [0, 120, -119], [5, 5, 5, 5.5]]
)
def test_the_spread_of_turns_is_the_circular_standard_deviation(angles: list[float]) -> None:
    statistics = alignment_statistics(thetas(*map(turning, angles)))
    assert statistics["rotation_spread_deg"] == pytest.approx(circular_std_deg(angles), rel=1e-4)
    assert statistics["theta_det_mean"] == pytest.approx(1)
    assert statistics["theta_det_min"] == pytest.approx(1)


def test_a_narrow_spread_is_the_ordinary_standard_deviation() -> None:
    angles = (50 + 2 * np.random.default_rng(0).normal(size=200)).tolist()
    spread = alignment_statistics(thetas(*map(turning, angles)))["rotation_spread_deg"]
    assert spread == pytest.approx(np.std(angles), rel=0.01)


@pytest.mark.parametrize("angle", [0, 33, 90, 180, -71.5])
def test_turned_all_alike_the_spread_is_0(angle: float) -> None:
    assert alignment_statistics(thetas(*[turning(angle)] * 7))["rotation_spread_deg"] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("angles", [[0, 180], [0, 90, 180, -90]])
def test_turned_every_way_the_spread_is_large_and_finite(angles: list[float]) -> None:
    assert 300 < alignment_statistics(thetas(*map(turning, angles)))["rotation_spread_deg"] < math.inf


def test_turned_exactly_against_each_other_the_spread_is_finite() -> None:
    """At some of these angles the mean of the two unit vectors is 0 to the last digit, and has no logarithm."""
    for angle in range(90):
        theta = turning(angle)
        assert 300 < alignment_statistics(thetas(theta, -theta))["rotation_spread_deg"] < math.inf


@pytest.mark.parametrize("num", [1, 3])
def test_shrunk_to_a_point_the_area_is_0(num: int) -> None:
    statistics = alignment_statistics(torch.zeros(num, 2, 3))
    assert statistics == {"theta_det_mean": 0, "theta_det_min": 0, "rotation_spread_deg": 0, "outside_share": 0}


def test_areas_are_averaged_and_the_least_is_found() -> None:
    statistics = alignment_statistics(thetas(turning(0), turning(40, 0.5), turning(-70, 0.1)))
    assert statistics["theta_det_mean"] == pytest.approx((1 + 0.25 + 0.01) / 3)
    assert statistics["theta_det_min"] == pytest.approx(0.01)


def test_zoomed_out_by_2_three_quarters_are_padding() -> None:
    statistics = alignment_statistics(thetas(turning(0, 2.0)))
    assert statistics["theta_det_mean"] == 4
    assert statistics["outside_share"] == 0.75


@pytest.mark.parametrize("seed", range(4))
def test_the_outside_share_is_a_count_of_points(seed: int) -> None:
    theta = torch.from_numpy(np.random.default_rng(seed).normal(scale=0.8, size=(6, 2, 3))).float()
    share = alignment_statistics(theta)["outside_share"]
    assert share == pytest.approx(outside_share(theta), abs=1e-6)
    assert 0 < share < 1


def test_a_shift_out_of_the_map_is_all_padding() -> None:
    shifted = turning(0)
    shifted[0, 2] = 2.5
    assert alignment_statistics(thetas(shifted))["outside_share"] == 1
    shifted[:, 2] = 0.0, -1.0
    assert alignment_statistics(thetas(shifted))["outside_share"] == 0.5


def test_a_mirrored_map_has_a_negative_area_and_its_own_turn() -> None:
    statistics = alignment_statistics(thetas(turning(0), turning(0, mirror=True)))
    assert (statistics["theta_det_mean"], statistics["theta_det_min"]) == (0, -1)
    mirrored = [turning(angle, mirror=True) for angle in (20, 50, -10)]
    turns = [turn_of(one) for one in mirrored]
    assert all(turn.mirrored for turn in turns)
    spread = alignment_statistics(thetas(*mirrored))["rotation_spread_deg"]
    assert spread == pytest.approx(circular_std_deg([20, 50, -10]), rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_theta_may_still_be_part_of_the_graph_and_of_another_precision(dtype: torch.dtype) -> None:
    theta = thetas(turning(0, 2.0), turning(90, 0.5)).to(dtype).requires_grad_()
    expected = alignment_statistics(thetas(turning(0, 2.0), turning(90, 0.5)))
    assert alignment_statistics(theta * 1) == pytest.approx(expected, rel=1e-3)
    assert theta.grad is None


def test_what_is_not_a_number_is_not_hidden() -> None:
    statistics = alignment_statistics(torch.full((2, 2, 3), math.nan))
    assert math.isnan(statistics["theta_det_mean"])
    assert math.isnan(statistics["rotation_spread_deg"])
