from dataclasses import replace

import numpy as np
import pytest

from training.synthetic.scenes.framing import frame
from training.synthetic.scenes.viewpoint import Viewpoint
from training.synthetic.settings import Settings
from training.synthetic.vehicles.vehicle import Vehicle

SETTINGS = Settings()
EXACT = replace(SETTINGS, box_spread=0.0, cut_off=0.0)
Box = np.ndarray


def frames(fleet: list[Vehicle], settings: Settings, count: int) -> list[tuple[Vehicle, Viewpoint, Box]]:
    return [
        (fleet[number % len(fleet)], *frame(fleet[number % len(fleet)], settings, np.random.default_rng([9, number])))
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def drawn(fleet: list[Vehicle]) -> list[tuple[Vehicle, Viewpoint, Box]]:
    return frames(fleet, SETTINGS, 500)


def test_the_crops_long_side_keeps_to_its_limits(drawn: list[tuple[Vehicle, Viewpoint, Box]]) -> None:
    low, high = SETTINGS.long_side_px
    longest = np.array([max(box[2] - box[0], box[3] - box[1]) for _, _, box in drawn])
    # A pixel less, so that rounding its edges does not lead out of them.
    assert longest.min() >= low + 1 - 1e-6
    assert longest.max() <= high - 1 + 1e-6
    assert np.percentile(longest, 10) < 80
    assert np.percentile(longest, 90) > 150


@pytest.mark.parametrize("limits", [(20.0, 30.0), (150.0, 160.0)])
def test_other_limits_are_kept_too(fleet: list[Vehicle], limits: tuple[float, float]) -> None:
    for _, _, box in frames(fleet, replace(SETTINGS, long_side_px=limits), 60):
        assert limits[0] <= max(box[2] - box[0], box[3] - box[1]) <= limits[1]


def test_every_box_has_some_extent_and_fits_the_window(drawn: list[tuple[Vehicle, Viewpoint, Box]]) -> None:
    for _, _, (left, upper, right, lower) in drawn:
        assert right - left > 4
        assert lower - upper > 4
        # The rasterizer's window holds 640 pixels; small pictures are drawn three times finer, others twice.
        reach = max(np.abs([left, upper, right, lower]))
        assert (2 * reach + 12) * (3 if reach <= 46 else 2) <= 640


def test_the_camera_is_within_its_ranges(drawn: list[tuple[Vehicle, Viewpoint, Box]]) -> None:
    for name, (low, high) in (("altitude_m", SETTINGS.altitude_m), ("depression_deg", SETTINGS.depression_deg)):
        values = np.array([getattr(viewpoint, name) for _, viewpoint, _ in drawn])
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.05 * (high - low))
    rolls = np.array([viewpoint.roll_deg for _, viewpoint, _ in drawn])
    assert rolls.std() == pytest.approx(SETTINGS.roll_spread_deg, rel=0.15)
    assert abs(rolls.mean()) < 0.4


def test_the_scale_is_that_of_a_lens_in_its_range(drawn: list[tuple[Vehicle, Viewpoint, Box]]) -> None:
    """Where the limits of the long side do not bind, which a small vehicle's box tells."""
    low, high = SETTINGS.focal_px
    free = [
        viewpoint.scale_px_per_m * viewpoint.distance_m
        for _, viewpoint, box in drawn
        if 22 < max(box[2] - box[0], box[3] - box[1]) < 198
    ]
    assert len(free) > 200
    assert low <= min(free) < 1.1 * low
    assert 0.8 * high < max(free) <= high


def test_headings_are_uniform_over_the_circle(drawn: list[tuple[Vehicle, Viewpoint, Box]]) -> None:
    headings = np.deg2rad([view.heading_deg((0.0, 0.0), 0.0, vehicle.shape.length) for vehicle, view, _ in drawn])
    for multiple in (1, 2, 4):
        # 500 uniform directions are longer than this once in e⁸ times.
        assert abs(np.exp(1j * multiple * headings).mean()) < np.sqrt(8 / 500)
    counts, _ = np.histogram(headings, 12, (-np.pi, np.pi))
    assert counts.min() > 20


def test_the_vehicle_fills_the_box_but_for_its_margins(fleet: list[Vehicle]) -> None:
    for vehicle, viewpoint, box in frames(fleet, EXACT, 60):
        seen = viewpoint.project(vehicle.mesh.points)
        width, height = seen.max(0) - seen.min(0)
        left, upper = seen.min(0) - box[:2]
        right, lower = box[2:] - seen.max(0)
        np.testing.assert_allclose([left / width, right / width, upper / height, lower / height], 0.04, atol=1e-6)


def test_margins_spread_around_their_mean(fleet: list[Vehicle]) -> None:
    margins = []
    for vehicle, viewpoint, box in frames(fleet, replace(SETTINGS, cut_off=0.0), 200):
        seen = viewpoint.project(vehicle.mesh.points)
        extent = seen.max(0) - seen.min(0)
        margins.append(np.concatenate([(seen.min(0) - box[:2]) / extent, (box[2:] - seen.max(0)) / extent]))
    assert np.mean(margins) == pytest.approx(SETTINGS.box_margin, abs=0.01)
    assert np.std(margins) == pytest.approx(SETTINGS.box_spread, rel=0.1)
    assert np.min(margins) >= -0.12 - 1e-6
    assert abs(np.corrcoef(np.array(margins).T)[0, 1:]).max() < 0.3


def test_a_cut_off_vehicle_lacks_one_edge(fleet: list[Vehicle]) -> None:
    sides = set()
    for vehicle, viewpoint, box in frames(fleet, replace(EXACT, cut_off=1.0), 40):
        seen = viewpoint.project(vehicle.mesh.points)
        extent = np.tile(seen.max(0) - seen.min(0), 2)
        margins = np.concatenate([seen.min(0) - box[:2], box[2:] - seen.max(0)]) / extent
        cut = np.nonzero(margins < 0)[0]
        assert len(cut) == 1
        assert -0.3 <= margins[cut[0]] <= -0.1
        sides.add(int(cut[0]))
    assert sides == {0, 1, 2, 3}


def test_the_camera_looks_at_the_vehicles_middle(drawn: list[tuple[Vehicle, Viewpoint, Box]]) -> None:
    for vehicle, viewpoint, _ in drawn[:20]:
        assert viewpoint.target == (0, 0, vehicle.shape.height / 2)


def test_frames_follow_from_their_generator(fleet: list[Vehicle]) -> None:
    (first, box), (again, same), (other, _) = (frame(fleet[0], SETTINGS, np.random.default_rng(s)) for s in (1, 1, 2))
    assert first == again
    np.testing.assert_array_equal(box, same)
    assert first != other
