from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.training.synthetic.solids import block, flag
from training.synthetic.scenes import training_view
from training.synthetic.scenes.rasterizer import Rasterizer
from training.synthetic.scenes.scene import View
from training.synthetic.scenes.training_view import render_training_view
from training.synthetic.scenes.viewpoint import wrapped_deg
from training.synthetic.settings import TrainingSettings
from training.synthetic.vehicles.training_vehicle import build_training_vehicle
from training.synthetic.vehicles.vehicle import Vehicle

SETTINGS = TrainingSettings()
ALONE = replace(SETTINGS, neighbour=0.0, crowded=0.0, occluded=0.0, wet=0.0)


@pytest.fixture(scope="module")
def vehicles() -> list[Vehicle]:
    return [build_training_vehicle(5, number, 0.5) for number in range(12)]


def mask_of(view: View) -> np.ndarray:
    assert view.mask is not None
    return np.asarray(view.mask)


def edges(mask: np.ndarray) -> np.ndarray:
    """Left, upper, right, lower of the pixels that are set."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def test_a_view_follows_from_its_arguments_whatever_was_drawn_before(
    rasterizer: Rasterizer, vehicles: list[Vehicle]
) -> None:
    first = render_training_view(rasterizer, vehicles[0], SETTINGS, 5, [5, 0, 1])
    for number in range(3):
        render_training_view(rasterizer, vehicles[number], SETTINGS, 6, [5, 0, 2 + number])
    again = render_training_view(rasterizer, vehicles[0], SETTINGS, 5, [5, 0, 1])
    assert again.image.tobytes() == first.image.tobytes()
    np.testing.assert_array_equal(mask_of(again), mask_of(first))
    assert (again.box, again.heading_deg, again.jpeg_quality) == (first.box, first.heading_deg, first.jpeg_quality)


def test_the_image_is_a_square_around_the_box_of_the_reach(rasterizer: Rasterizer, vehicles: list[Vehicle]) -> None:
    for number, vehicle in enumerate(vehicles):
        view = render_training_view(rasterizer, vehicle, SETTINGS, 5, [1, number])
        assert view.box is not None
        longest = max(view.box.w, view.box.h)
        assert view.image.mode == "RGB"
        assert view.image.width == pytest.approx(1.6 * longest, abs=2.5)
        assert abs(view.image.width - view.image.height) <= 1
        assert view.box.x + view.box.w / 2 == pytest.approx(view.image.width / 2, abs=1.5)
        assert view.box.y + view.box.h / 2 == pytest.approx(view.image.height / 2, abs=1.5)
        assert 30 <= view.jpeg_quality <= 95


def test_the_mask_fills_the_box_where_nothing_is_in_front(rasterizer: Rasterizer, vehicles: list[Vehicle]) -> None:
    for number, vehicle in enumerate(vehicles):
        view = render_training_view(rasterizer, vehicle, ALONE, 5, [2, number])
        assert view.box is not None
        assert isinstance(view.mask, Image.Image)
        assert view.mask.mode == "1"
        assert view.mask.size == view.image.size
        box = view.box
        # Antennas and mirrors narrower than half a pixel are not in it.
        np.testing.assert_allclose(
            edges(mask_of(view)), [box.x, box.y, box.x + box.w, box.y + box.h], atol=2, err_msg=str(number)
        )


def test_the_mask_is_the_boxs_projection(rasterizer: Rasterizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mask agrees with the red pixels of a red box on a ground without red, pixel by pixel but for its edge."""

    def colours(surfaces, *_):  # type: ignore[no-untyped-def]
        return surfaces.albedo.astype(np.float32)

    def undeveloped(linear, light, random):  # type: ignore[no-untyped-def]
        return linear

    monkeypatch.setattr(training_view, "light_up", colours)
    monkeypatch.setattr(training_view, "photograph", undeveloped)
    for number in range(8):
        view = render_training_view(rasterizer, block(), ALONE, 5, [3, number])
        red = np.asarray(view.image)[..., 0] >= 230 / 2
        assert (red != mask_of(view)).mean() < 0.002


def test_a_neighbour_in_front_is_not_in_the_mask(rasterizer: Rasterizer, monkeypatch: pytest.MonkeyPatch) -> None:
    wall = block((20, 20, 200), (-4, -0.2, 0), (4, 0.2, 6))
    monkeypatch.setattr(training_view, "draw_training_neighbours", lambda *_: [wall.moved(0, -1.6, 0)])
    flat = replace(ALONE, steep=0.0, depression_deg=(30.0, 31.0))
    hidden = [mask_of(render_training_view(rasterizer, block(), flat, 5, [4, number])).sum() for number in range(10)]
    monkeypatch.setattr(training_view, "draw_training_neighbours", lambda *_: [])
    alone = [mask_of(render_training_view(rasterizer, block(), flat, 5, [4, number])).sum() for number in range(10)]
    assert (np.array(hidden) <= np.array(alone)).all()
    assert min(np.array(hidden) / np.array(alone)) < 0.7  # the wall stands between, in about half of the views
    assert max(np.array(hidden) / np.array(alone)) > 0.99


def test_what_hangs_in_front_is_not_in_the_mask(rasterizer: Rasterizer, vehicles: list[Vehicle]) -> None:
    shares = []
    for number in range(12):
        clear = render_training_view(rasterizer, vehicles[0], ALONE, 5, [6, number])
        covered = render_training_view(rasterizer, vehicles[0], replace(ALONE, occluded=1.0), 5, [6, number])
        assert (clear.occluded, covered.occluded) == (False, True)
        assert clear.box == covered.box
        assert not (mask_of(covered) & ~mask_of(clear)).any()
        shares.append(mask_of(covered).sum() / mask_of(clear).sum())
    assert min(shares) < 0.95


def test_the_heading_is_what_the_image_shows(rasterizer: Rasterizer) -> None:
    """Through the whole pipeline: a low cart that is red in front and green behind."""
    cart = flag(4.6, 1.2, 0.2, 0.5)
    settings = replace(ALONE, usual=0.0, long_side_px=(120.0, 180.0))
    errors = []
    for number in range(16):
        view = render_training_view(rasterizer, cart, settings, 5, [7, number])
        red, green, blue = np.moveaxis(np.asarray(view.image).astype(float), -1, 0)
        inside = mask_of(view)
        middles = []
        for amount in (green - np.maximum(red, blue), red - np.maximum(green, blue)):
            rows, columns = np.nonzero(inside & (amount > 0.6 * np.percentile(amount[inside], 97)))
            middles.append((np.median(columns), -np.median(rows)))
        (x0, y0), (x1, y1) = middles
        errors.append(abs(wrapped_deg(float(np.rad2deg(np.arctan2(y1 - y0, x1 - x0))) - view.heading_deg)))
    assert max(errors) < 7, errors


def test_wet_ground_is_another_picture_of_the_same_view(rasterizer: Rasterizer, vehicles: list[Vehicle]) -> None:
    dry, wet = (
        render_training_view(rasterizer, vehicles[1], replace(ALONE, wet=share), 5, [8, 1]) for share in (0.0, 1.0)
    )
    assert dry.viewpoint == wet.viewpoint
    np.testing.assert_array_equal(mask_of(dry), mask_of(wet))
    assert dry.image.tobytes() != wet.image.tobytes()
