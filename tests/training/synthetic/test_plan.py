import numpy as np
import pytest

from training.synthetic.scenes.plan import Plan

LOWER, UPPER = np.array([-3.0, -2.0]), np.array([5.0, 4.0])


def places(step: float = 0.07) -> np.ndarray:
    """(N, 2) metres all over the area, but for a hand at its edges."""
    x, y = np.meshgrid(np.arange(LOWER[0] + 0.1, UPPER[0] - 0.1, step), np.arange(LOWER[1] + 0.1, UPPER[1] - 0.1, step))
    return np.stack([x.ravel(), y.ravel()], 1).astype(np.float32)


def seen(plan: Plan, points: np.ndarray) -> np.ndarray:
    return plan.look_up(np.asarray(plan.image, np.float32), points)


def test_a_plan_covers_its_area() -> None:
    plan = Plan(LOWER, UPPER, 20, "L", 7)
    assert plan.size == (120, 160)
    assert set(np.unique(np.asarray(plan.image))) == {7}
    assert plan.pixels(np.array([LOWER, UPPER])) == [(0, 120), (160, 0)]


def test_a_tiny_area_has_a_picture_too() -> None:
    assert Plan(np.zeros(2), np.full(2, 0.01), 10, "RGB", (1, 2, 3)).size == (4, 4)


def test_a_polygon_is_where_it_was_drawn() -> None:
    plan = Plan(LOWER, UPPER, 20, "L", 0)
    plan.polygon(np.array([[0, 1], [3, 1], [3, 2.5], [0, 2.5]]), 255)
    points = places()
    x, y = points.T
    found = seen(plan, points)
    inside = (x > 0.1) & (x < 2.9) & (y > 1.1) & (y < 2.4)
    outside = (x < -0.1) | (x > 3.1) | (y < 0.9) | (y > 2.6)
    assert (found[inside] == 255).all()
    assert (found[outside] == 0).all()


def test_a_strip_is_as_wide_as_asked_in_any_direction() -> None:
    for angle in np.deg2rad([0, 30, 90, 200]):
        along = np.array([np.cos(angle), np.sin(angle)])
        centre = np.array([1.0, 1.0])
        plan = Plan(LOWER, UPPER, 40, "L", 0)
        plan.strip(centre, centre + 2 * along, 0.8, 200)
        offset = places() - centre
        t, s = offset @ along, np.abs(offset @ np.array([-along[1], along[0]]))
        found = seen(plan, places())
        assert (found[(t > 0.06) & (t < 1.94) & (s < 0.34)] == 200).all()
        assert (found[(t < -0.06) | (t > 2.06) | (s > 0.46)] == 0).all()


def test_a_strip_of_no_length_draws_without_complaint() -> None:
    plan = Plan(LOWER, UPPER, 20, "L", 0)
    plan.strip(np.ones(2), np.ones(2), 0.5, 255)
    assert (np.asarray(plan.image) > 0).mean() < 0.01


def test_hulls_are_filled_and_no_more() -> None:
    random = np.random.default_rng(0)
    disc = random.normal(size=(400, 2))
    disc = disc / np.linalg.norm(disc, axis=1, keepdims=True) * random.uniform(0, 1, (400, 1)) ** 0.2 + np.array([2, 1])
    plan = Plan(LOWER, UPPER, 40, "L", 0)
    plan.hulls([disc, np.array([[-2, -1], [-1, -1], [-2, 0.0]])], 255)
    points = places()
    found = seen(plan, points)
    reach = np.linalg.norm(points - [2, 1], axis=1)
    x = points[:, 0]
    assert (found[reach < 0.9] == 255).all()
    assert (found[(reach > 1.06) & (x > -0.5)] == 0).all()
    assert found[np.argmin(np.linalg.norm(points - [-1.7, -0.7], axis=1))] == 255
    assert found[np.argmin(np.linalg.norm(points - [-1.2, -0.2], axis=1))] == 0


def test_looking_up_interpolates_between_pixels_of_every_channel() -> None:
    """A ramp in metres is read back in metres, to the pixel's middle."""
    plan = Plan(LOWER, UPPER, 10, "RGB", (0, 0, 0))
    rows, columns = plan.size
    x = LOWER[0] + (np.arange(columns) + 0.5) / 10
    y = UPPER[1] - (np.arange(rows) + 0.5) / 10
    ramp = np.stack([*np.meshgrid(x, y), np.full((rows, columns), 5.0)], -1).astype(np.float32)
    points = places()
    found = plan.look_up(ramp, points)
    np.testing.assert_allclose(found[:, :2], points, atol=1e-4)
    np.testing.assert_allclose(found[:, 2], 5, atol=1e-5)
    square = points[:40].reshape(5, 8, 2)
    np.testing.assert_array_equal(plan.look_up(ramp, square), found[:40].reshape(5, 8, 3))
    np.testing.assert_array_equal(plan.look_up(ramp[..., 0], points), found[:, 0])


def test_beyond_the_edge_is_what_lies_at_the_edge() -> None:
    plan = Plan(LOWER, UPPER, 10, "L", 0)
    plan.polygon(np.array([[3, -9], [9, -9], [9, 9], [3, 9]]), 90)
    far = np.array([[500, 1], [-500, 1]], np.float32)
    np.testing.assert_array_equal(seen(plan, far), [90, 0])


def test_blur_is_measured_in_metres() -> None:
    for px_per_m in (10, 40):
        plan = Plan(LOWER, UPPER, px_per_m, "L", 0)
        plan.polygon(np.array([[1, -9], [9, -9], [9, 9], [1, 9]]), 255)
        blurred = np.asarray(plan.blurred(0.3), np.float32)
        points = np.array([[1 + 0.3 * k, 1.0] for k in (-3, -1, 0, 1, 3)], np.float32)
        share = plan.look_up(blurred, points) / 255
        # The normal distribution's.
        np.testing.assert_allclose(share, [0.001, 0.159, 0.5, 0.841, 0.999], atol=0.06)
        assert plan.blurred(0).tobytes() == plan.image.tobytes()


def test_a_point_is_found_at_the_pixel_where_it_was_drawn() -> None:
    plan = Plan(LOWER, UPPER, 10, "RGB", (0, 0, 0))
    for x, y in ((-2.95, -1.95), (4.95, 3.95), (1.05, 2.05)):
        column, row = plan.pixels(np.array([[x, y]]))[0]
        picture = np.zeros(plan.size, np.float32)
        picture[int(row), int(column)] = 1
        assert plan.look_up(picture, np.array([[x, y]], np.float32))[0] == pytest.approx(1, abs=1e-3)
