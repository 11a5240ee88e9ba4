import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.synthetic.solids import GREEN, RED, flag
from training.synthetic.scenes.rasterizer import Rasterizer
from training.synthetic.scenes.viewpoint import Viewpoint, azimuth_for, wrapped_deg

Array = NDArray[np.floating]


def views(count: int, seed: int = 0, roll: float = 10) -> list[Viewpoint]:
    random = np.random.default_rng(seed)
    return [
        Viewpoint(
            random.uniform(15, 60), random.uniform(40, 80), random.uniform(-180, 180), random.uniform(-roll, roll),
            random.uniform(5, 60), tuple(random.uniform(-1, 1, 3)),
        )
        for _ in range(count)
    ]  # fmt: skip


def turn(axis: int, degrees: float) -> Array:
    """A 4x4 right-handed turn about an axis."""
    matrix = np.eye(4)
    a, b = (axis + 1) % 3, (axis + 2) % 3
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix[a, a], matrix[a, b], matrix[b, a], matrix[b, b] = cos, -sin, sin, cos
    return matrix


def naive_project(viewpoint: Viewpoint, points: Array) -> Array:
    """A chain of 4x4 matrices: a camera that looks along −z with y up is turned and set at its place."""
    height = viewpoint.altitude_m - viewpoint.target[2]
    back = height / np.tan(np.deg2rad(viewpoint.depression_deg))
    azimuth = np.deg2rad(viewpoint.azimuth_deg)
    place = np.eye(4)
    place[:3, 3] = (
        viewpoint.target[0] - back * np.cos(azimuth), viewpoint.target[1] - back * np.sin(azimuth), viewpoint.altitude_m
    )  # fmt: skip
    # The camera rolled clockwise by as much, so that the content turns counter-clockwise.
    camera = (
        place
        @ turn(2, viewpoint.azimuth_deg - 90)
        @ turn(0, 90 - viewpoint.depression_deg)
        @ turn(2, -viewpoint.roll_deg)
    )
    seen = np.linalg.inv(camera) @ np.c_[points, np.ones(len(points))].T
    focal = viewpoint.scale_px_per_m * np.hypot(height, back)
    return np.stack([focal * seen[0] / -seen[2], -focal * seen[1] / -seen[2]], 1)


def test_projection_is_that_of_a_chain_of_matrices() -> None:
    points = np.random.default_rng(1).uniform(-6, 6, (50, 3))
    for viewpoint in views(40):
        np.testing.assert_allclose(viewpoint.project(points), naive_project(viewpoint, points), atol=1e-6)


def test_the_target_is_the_middle_at_the_asked_scale() -> None:
    for viewpoint in views(40):
        target = np.array(viewpoint.target)
        np.testing.assert_allclose(viewpoint.project(target[None]), [[0, 0]], atol=1e-9)
        right, up, _ = viewpoint.axes
        aside = viewpoint.project(np.stack([target + 0.01 * right, target + 0.01 * up]))
        np.testing.assert_allclose(aside, 0.01 * viewpoint.scale_px_per_m * np.array([[1, 0], [0, -1]]), atol=1e-9)


def test_rays_pass_through_what_is_projected_there() -> None:
    random = np.random.default_rng(2)
    for viewpoint in views(20):
        columns, rows = random.uniform(-300, 300, (2, 7, 5))
        rays = viewpoint.rays(columns, rows)
        assert rays.shape == (7, 5, 3)
        np.testing.assert_allclose(np.linalg.norm(rays, axis=-1), 1, atol=1e-6)
        points = viewpoint.position + rays.reshape(-1, 3).astype(np.float64) * random.uniform(1, 80, (35, 1))
        expected = np.stack([columns.ravel(), rows.ravel()], 1)
        np.testing.assert_allclose(viewpoint.project(points), expected, atol=0.02)


def test_the_camera_is_where_altitude_and_depression_put_it() -> None:
    for viewpoint in views(40):
        x, y, z = viewpoint.position - np.array(viewpoint.target)
        assert viewpoint.position[2] == pytest.approx(viewpoint.altitude_m)
        assert np.rad2deg(np.arctan2(z, np.hypot(x, y))) == pytest.approx(viewpoint.depression_deg)
        assert np.sqrt(x * x + y * y + z * z) == pytest.approx(viewpoint.distance_m)
        assert np.rad2deg(np.arctan2(-y, -x)) == pytest.approx(viewpoint.azimuth_deg)
        np.testing.assert_allclose(viewpoint.axes @ viewpoint.axes.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(viewpoint.axes) == pytest.approx(-1)  # right, up, forward: left-handed


def test_a_far_camera_shows_the_heading_that_was_asked_for() -> None:
    for heading in np.linspace(-179, 180, 24):
        for depression in (40.0, 60.0, 80.0):
            viewpoint = Viewpoint(1e6, depression, azimuth_for(heading, depression), 0, 20, (0.0, 0.0, 0.0))
            shown = viewpoint.heading_deg((0.0, 0.0), 0.0, 4.5)
            assert wrapped_deg(shown - heading) == pytest.approx(0, abs=0.01)


def test_a_near_camera_shows_about_that_heading() -> None:
    for heading in np.linspace(-179, 180, 24):
        viewpoint = Viewpoint(15, 45, azimuth_for(heading, 45), 0, 20, (0.0, 0.0, 0.75))
        assert abs(wrapped_deg(viewpoint.heading_deg((0.0, 0.0), 0.0, 4.5) - heading)) < 3


def test_roll_adds_to_the_heading() -> None:
    for viewpoint in views(20, roll=0):
        level = Viewpoint(viewpoint.altitude_m, viewpoint.depression_deg, viewpoint.azimuth_deg, 0, 20, (0, 0, 0.7))
        rolled = Viewpoint(viewpoint.altitude_m, viewpoint.depression_deg, viewpoint.azimuth_deg, 25, 20, (0, 0, 0.7))
        change = rolled.heading_deg((0.0, 0.0), 0.0, 4.5) - level.heading_deg((0.0, 0.0), 0.0, 4.5)
        assert wrapped_deg(change) == pytest.approx(25, abs=1e-6)


def test_the_heading_is_that_of_any_vehicle_on_the_ground() -> None:
    straight_down = Viewpoint(30, 90, 90, 0, 20, (0.0, 0.0, 0.0))  # the picture's right is x, its up is y
    for turned in (-150.0, -90.0, 0.0, 35.0, 120.0):
        assert straight_down.heading_deg((0.0, 0.0), turned, 4.5) == pytest.approx(turned, abs=1e-6)
        assert straight_down.heading_deg((2.0, -3.0), turned, 4.5) == pytest.approx(turned, abs=1e-6)


@pytest.mark.parametrize(
    ("angle", "expected"),
    [
        (180, 180), (-180, 180), (540, 180), (-179, -179), (181, -179), (0, 0), (360, 0), (-725, -5), (179.5, 179.5),
        # Where a remainder is rounded.
        (180 + 3e-14, 180), (-180 - 3e-14, 180), (180 - 3e-14, 180), (-5e-324, 0), (5e-324, 0),
    ],
)  # fmt: skip
def test_wrapped_angles_lie_above_minus_180_up_to_180(angle: float, expected: float) -> None:
    assert wrapped_deg(angle) == pytest.approx(expected, abs=1e-12)
    assert -180 < wrapped_deg(angle) <= 180


def colour_heading(albedo: NDArray[np.uint8]) -> float:
    """From the middle of what is green to the middle of what is red."""
    middles = []
    for colour in (GREEN, RED):
        rows, columns = np.nonzero((albedo.astype(int) == colour).all(-1))
        assert len(rows) > 40
        middles.append((columns.mean(), -rows.mean()))
    (x0, y0), (x1, y1) = middles
    return float(np.rad2deg(np.arctan2(y1 - y0, x1 - x0)))


def test_the_heading_is_what_the_picture_shows(rasterizer: Rasterizer) -> None:
    plate = flag(4.6, 0.5, 0.74, 0.76)
    random = np.random.default_rng(3)
    for _ in range(40):
        depression = random.uniform(40, 80)
        azimuth, roll = random.uniform(-180, 180), random.uniform(-8, 8)
        viewpoint = Viewpoint(random.uniform(15, 60), depression, azimuth, roll, 40, (0.0, 0.0, 0.75))
        seen = colour_heading(rasterizer.draw([plate], viewpoint, (240, 240)).albedo)
        assert abs(wrapped_deg(seen - viewpoint.heading_deg((0.0, 0.0), 0.0, 4.6))) < 1.5


def test_the_heading_of_a_vehicle_that_stands_turned_is_what_the_picture_shows(rasterizer: Rasterizer) -> None:
    random = np.random.default_rng(4)
    for _ in range(15):
        x, y = random.uniform(-1, 1, 2)
        turned = random.uniform(-180, 180)
        plate = flag(3.0, 0.4, 0.74, 0.76).moved(x, y, turned)
        viewpoint = Viewpoint(25, random.uniform(40, 80), random.uniform(-180, 180), 0, 40, (0.0, 0.0, 0.75))
        seen = colour_heading(rasterizer.draw([plate], viewpoint, (240, 240)).albedo)
        assert abs(wrapped_deg(seen - viewpoint.heading_deg((x, y), turned, 3.0))) < 2
