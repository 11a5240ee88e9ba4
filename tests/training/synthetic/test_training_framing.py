from dataclasses import replace

import numpy as np
import pytest

from training.synthetic.scenes.training_framing import training_frame
from training.synthetic.scenes.viewpoint import Viewpoint
from training.synthetic.settings import TrainingSettings
from training.synthetic.vehicles.vehicle import Vehicle

SETTINGS = TrainingSettings()
NUM = 800


@pytest.fixture(scope="module")
def drawn(fleet: list[Vehicle]) -> list[tuple[Vehicle, Viewpoint, np.ndarray]]:
    vehicles = [fleet[number % len(fleet)] for number in range(NUM)]
    return [(v, *training_frame(v, SETTINGS, np.random.default_rng([9, n]))) for n, v in enumerate(vehicles)]


def test_boxes_are_tight(drawn: list[tuple[Vehicle, Viewpoint, np.ndarray]]) -> None:
    for vehicle, viewpoint, box in drawn[:60]:
        seen = viewpoint.project(vehicle.mesh.points)
        np.testing.assert_allclose(box, [*seen.min(0), *seen.max(0)], atol=0.02)


def test_most_boxes_have_a_few_dozen_pixels_and_none_is_beyond_the_limits(
    drawn: list[tuple[Vehicle, Viewpoint, np.ndarray]],
) -> None:
    sides = np.array([max(box[2] - box[0], box[3] - box[1]) for _, _, box in drawn])
    assert 16 - 1e-6 <= sides.min() < 18
    assert 150 < sides.max() <= 180 + 1e-6
    usual = np.log(90 / 24) / np.log(180 / 16)
    share = SETTINGS.usual + (1 - SETTINGS.usual) * usual
    assert ((sides >= 24) & (sides <= 90)).mean() == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / NUM))


def test_most_views_are_steep(drawn: list[tuple[Vehicle, Viewpoint, np.ndarray]]) -> None:
    down = np.array([viewpoint.depression_deg for _, viewpoint, _ in drawn])
    assert 30 <= down.min() < 34
    assert 89 < down.max() < 90
    share = SETTINGS.steep + (1 - SETTINGS.steep) / 3
    assert (down >= 70).mean() == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / NUM))
    assert not (down >= 70).all()
    altitudes = np.array([viewpoint.altitude_m for _, viewpoint, _ in drawn])
    assert 20 <= altitudes.min() < altitudes.max() <= 140


def test_headings_are_uniform_over_the_circle(drawn: list[tuple[Vehicle, Viewpoint, np.ndarray]]) -> None:
    headings = np.deg2rad([view.heading_deg((0.0, 0.0), 0.0, vehicle.shape.length) for vehicle, view, _ in drawn])
    for multiple in (1, 2, 4):
        assert abs(np.exp(1j * multiple * headings).mean()) < np.sqrt(8 / NUM)


@pytest.mark.parametrize("limits", [(16.0, 17.0), (170.0, 180.0)])
def test_other_limits_are_kept_too(fleet: list[Vehicle], limits: tuple[float, float]) -> None:
    settings = replace(SETTINGS, usual=0.0, long_side_px=limits)
    for number in range(20):
        _, box = training_frame(fleet[number], settings, np.random.default_rng(number))
        assert limits[0] - 1e-6 <= max(box[2:] - box[:2]) <= limits[1] + 1e-6
