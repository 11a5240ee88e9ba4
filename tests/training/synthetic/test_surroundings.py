from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from index.datasets.bulk_embedding import read_entry
from index.datasets.manifest import read_manifest
from model.image import read_image
from tests.training.synthetic.test_generate import draw_here
from training.alignment.turning import circle_fits
from training.synthetic.generate import DataSet
from training.synthetic.scenes.framing import frame
from training.synthetic.scenes.rasterizer import Rasterizer
from training.synthetic.scenes.scene import EDGE_PX, LARGEST_PX, around, rasterizer_for, render_view
from training.synthetic.settings import Settings
from training.synthetic.vehicles.vehicle import Vehicle

CROPS = Settings(occluded=0.0)
FRAMES = replace(CROPS, surroundings=True)


@pytest.fixture(scope="module")
def large() -> Rasterizer:
    return rasterizer_for(FRAMES)


def test_the_box_in_the_frame_is_the_crop_of_the_same_view(
    rasterizer: Rasterizer, large: Rasterizer, fleet: list[Vehicle]
) -> None:
    for number in range(8):
        crop = render_view(rasterizer, fleet[number], CROPS, 5, [9, number])
        whole = render_view(large, fleet[number], FRAMES, 5, [9, number])
        assert crop.box is None
        assert whole.box is not None
        assert whole.viewpoint == crop.viewpoint
        assert whole.heading_deg == crop.heading_deg
        assert np.abs(np.subtract((whole.box.w, whole.box.h), crop.image.size)).max() <= 1
        assert circle_fits(whole.box, *whole.image.size)
        # Not much more than the circle: the square around it.
        assert max(whole.image.size) <= np.hypot(whole.box.w, whole.box.h) + 7


def test_the_vehicle_lies_in_the_box(large: Rasterizer, fleet: list[Vehicle]) -> None:
    """Its projected mesh, with the margin that was asked for."""
    settings = replace(FRAMES, neighbour=0.0, cut_off=0.0, box_margin=0.1, box_spread=0.0, long_side_px=(100.0, 200.0))
    for number in range(6):
        view = render_view(large, fleet[number], settings, 5, [9, number])
        assert view.box is not None
        box = view.box
        points = view.viewpoint.project(fleet[number].mesh.points)
        middle = np.array([box.x + box.w / 2, box.y + box.h / 2])
        extent = points.max(0) - points.min(0)
        assert np.abs(np.array([box.w, box.h]) - 1.2 * extent).max() <= 2
        # The frame is the square around the box's middle.
        assert np.abs(middle - np.array(view.image.size) / 2).max() <= 2


@pytest.fixture(scope="module")
def folder(large: Rasterizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_set = DataSet(10, 2, 3, Settings(surroundings=True))
    return draw_here(tmp_path_factory.mktemp("frames") / "data", data_set, large)


def test_the_manifest_has_the_boxes(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert len(manifest.entries) == 20
    for entry in manifest.entries:
        assert entry.box is not None
        height, width, _ = read_image(manifest.path_of(entry)).shape
        assert circle_fits(entry.box, width, height)
        assert read_entry(manifest, entry).shape == (entry.box.h, entry.box.w, 3)
        assert 20 <= max(entry.box.w, entry.box.h) <= 200
    assert manifest.protocol.info["settings"]["surroundings"] is True


@pytest.mark.parametrize("settings", [CROPS, FRAMES], ids=["crops", "frames"])
def test_the_largest_pictures_fit_the_window(fleet: list[Vehicle], settings: Settings) -> None:
    """The longest crops, seen from as low and as near as it gets, and cut off: the widest is drawn."""
    largest = replace(
        settings, long_side_px=(199.0, 200.0), altitude_m=(15.0, 15.1), depression_deg=(40.0, 41.0), cut_off=1.0
    )
    widths: dict[tuple[int, int], float] = {}
    for number in range(40):
        for draw in range(10):
            _, box = frame(fleet[number], largest, np.random.default_rng([number, draw, 0]))
            widths[number, draw] = float(np.abs(around(box) if settings.surroundings else box).max())
    (number, draw), width = max(widths.items(), key=lambda item: item[1])
    # Crops reach what cannot be drawn twice as fine.
    assert (4 * (width + 1 + EDGE_PX) > LARGEST_PX[settings.surroundings]) == (settings is CROPS)
    view = render_view(rasterizer_for(settings), fleet[number], largest, 5, [number, draw])
    cut = view.image.size if view.box is None else (view.box.w, view.box.h)
    assert max(cut) >= 198
    assert np.asarray(view.image).std() > 2
