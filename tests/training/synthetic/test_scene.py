from dataclasses import replace

import numpy as np
import pytest

from tests.training.synthetic.solids import block, flag
from training.synthetic.scenes import scene
from training.synthetic.scenes.framing import frame
from training.synthetic.scenes.rasterizer import Rasterizer
from training.synthetic.scenes.scene import View, render_view
from training.synthetic.scenes.viewpoint import wrapped_deg
from training.synthetic.settings import Settings
from training.synthetic.vehicles.vehicle import Vehicle

SETTINGS = Settings()
ALONE = replace(SETTINGS, neighbour=0.0, occluded=0.0, cut_off=0.0, box_spread=0.0)


def as_bytes(view: View) -> tuple[object, ...]:
    return (view.image.tobytes(), view.image.size, view.viewpoint, view.heading_deg, view.occluded, view.jpeg_quality)


def test_a_view_follows_from_its_arguments_whatever_was_drawn_before(
    rasterizer: Rasterizer, fleet: list[Vehicle]
) -> None:
    first = render_view(rasterizer, fleet[0], SETTINGS, 5, [5, 0, 1])
    for number in range(4):
        render_view(rasterizer, fleet[number], SETTINGS, 6, [5, 0, 2 + number])
    assert as_bytes(render_view(rasterizer, fleet[0], SETTINGS, 5, [5, 0, 1])) == as_bytes(first)
    assert as_bytes(render_view(Rasterizer(), fleet[0], SETTINGS, 5, [5, 0, 1])) == as_bytes(first)


def test_other_entropy_is_another_view(rasterizer: Rasterizer, fleet: list[Vehicle]) -> None:
    views = [render_view(rasterizer, fleet[0], ALONE, 5, [5, 0, number]) for number in range(6)]
    assert len({view.image.tobytes() for view in views}) == 6
    assert len({view.heading_deg for view in views}) == 6


@pytest.mark.parametrize("kind", ["bus", "hatchback", "truck"])
def test_crops_of_any_vehicle_keep_to_the_sizes(rasterizer: Rasterizer, fleet: list[Vehicle], kind: str) -> None:
    vehicle = next(one for one in fleet if one.kind == kind)
    for number, limits in enumerate(((20.0, 24.0), (190.0, 200.0), (20.0, 200.0))):
        view = render_view(rasterizer, vehicle, replace(SETTINGS, long_side_px=limits), 5, [1, number])
        assert view.image.mode == "RGB"
        assert limits[0] <= max(view.image.size) <= limits[1]
        assert min(view.image.size) >= 3
        assert np.asarray(view.image).std() > 2
        assert -180 < view.heading_deg <= 180
        assert SETTINGS.jpeg_quality[0] <= view.jpeg_quality <= SETTINGS.jpeg_quality[1]


def test_the_heading_is_what_the_crop_shows(rasterizer: Rasterizer) -> None:
    """Through the whole pipeline: a low cart that is red in front and green behind."""
    cart = flag(4.6, 1.2, 0.2, 0.5)
    settings = replace(ALONE, long_side_px=(120.0, 200.0))
    for number in range(16):
        view = render_view(rasterizer, cart, settings, 5, [2, number])
        red, green, blue = np.moveaxis(np.asarray(view.image).astype(float), -1, 0)
        middles = []
        for amount in (green - np.maximum(red, blue), red - np.maximum(green, blue)):
            rows, columns = np.nonzero(amount > 0.6 * np.percentile(amount, 97))
            middles.append((np.median(columns), -np.median(rows)))
        (x0, y0), (x1, y1) = middles
        seen = np.rad2deg(np.arctan2(y1 - y0, x1 - x0))
        assert abs(wrapped_deg(seen - view.heading_deg)) < 6, f"view {number}"


def test_the_crop_holds_the_vehicle_and_little_else(rasterizer: Rasterizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the colours themselves: the red box fills its crop but for the margins, 4 % on each side."""

    def colours(surfaces, viewpoint, vehicle, neighbours, light, random):  # type: ignore[no-untyped-def]
        return surfaces.albedo.astype(np.float32)

    def undeveloped(linear, random):  # type: ignore[no-untyped-def]
        return linear

    monkeypatch.setattr(scene, "light_up", colours)
    monkeypatch.setattr(scene, "expose", undeveloped)
    car = block()
    settings = replace(ALONE, long_side_px=(60.0, 200.0))
    for number in range(12):
        view = render_view(rasterizer, car, settings, 5, [3, number])
        _, box = frame(car, settings, np.random.default_rng([3, number, 0]))
        width, height = view.image.size
        assert abs(width - (box[2] - box[0])) <= 1
        assert abs(height - (box[3] - box[1])) <= 1
        rows, columns = np.nonzero(np.asarray(view.image)[..., 0] > 110)
        margin_x, margin_y = 0.04 / 1.08 * width, 0.04 / 1.08 * height
        assert columns.min() == pytest.approx(margin_x, abs=1.2)
        assert width - 1 - columns.max() == pytest.approx(margin_x, abs=1.2)
        assert rows.min() == pytest.approx(margin_y, abs=1.2)
        assert height - 1 - rows.max() == pytest.approx(margin_y, abs=1.2)


def test_something_hangs_in_front_as_often_as_the_settings_say(rasterizer: Rasterizer, fleet: list[Vehicle]) -> None:
    small = replace(ALONE, long_side_px=(20.0, 24.0))
    for share in (0.0, 1.0):
        settings = replace(small, occluded=share)
        assert all(render_view(rasterizer, fleet[0], settings, 5, [4, n]).occluded == bool(share) for n in range(5))
    clear = render_view(rasterizer, fleet[0], small, 5, [4, 1])
    hidden = render_view(rasterizer, fleet[0], replace(small, occluded=1.0), 5, [4, 1])
    assert clear.viewpoint == hidden.viewpoint
    assert clear.image.tobytes() != hidden.image.tobytes()


def test_the_sun_shades_one_side_of_the_picture(rasterizer: Rasterizer, fleet: list[Vehicle]) -> None:
    """Many views are not alike in brightness, and none is black or white."""
    means = [
        np.asarray(render_view(rasterizer, fleet[n], ALONE, 5, [6, n]).image).mean() for n in range(12)
    ]  # fmt: skip
    assert min(means) > 15
    assert max(means) < 240
    assert np.std(means) > 8
