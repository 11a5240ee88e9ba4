from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from index.bulk_embedding import read_entry
from index.manifest import read_manifest
from model.image import read_image
from tests.training.synthetic.test_generate import draw_here
from training.alignment.turning import circle_fits
from training.synthetic.generate import DataSet
from training.synthetic.scenes.rasterizer import Rasterizer
from training.synthetic.scenes.scene import render_view
from training.synthetic.settings import Settings
from training.synthetic.vehicles.vehicle import Vehicle

CROPS = Settings(occluded=0.0)
FRAMES = replace(CROPS, surroundings=True)


def test_the_box_in_the_frame_is_the_crop_of_the_same_view(rasterizer: Rasterizer, fleet: list[Vehicle]) -> None:
    for number in range(8):
        crop = render_view(rasterizer, fleet[number], CROPS, 5, [9, number])
        frame = render_view(rasterizer, fleet[number], FRAMES, 5, [9, number])
        assert crop.box is None
        assert frame.box is not None
        assert frame.viewpoint == crop.viewpoint
        assert frame.heading_deg == crop.heading_deg
        assert np.abs(np.subtract((frame.box.w, frame.box.h), crop.image.size)).max() <= 1
        assert circle_fits(frame.box, *frame.image.size)
        # Not much more than the circle: the square around it.
        assert max(frame.image.size) <= np.hypot(frame.box.w, frame.box.h) + 7


def test_the_vehicle_lies_in_the_box(rasterizer: Rasterizer, fleet: list[Vehicle]) -> None:
    """Measured in pixels: without the vehicle, the same scene differs inside the box and hardly outside."""
    settings = replace(FRAMES, neighbour=0.0, cut_off=0.0, box_margin=0.1, box_spread=0.0, long_side_px=(100.0, 200.0))
    for number in range(6):
        view = render_view(rasterizer, fleet[number], settings, 5, [9, number])
        assert view.box is not None
        box = view.box
        points = view.viewpoint.project(fleet[number].mesh.points)
        middle = np.array([box.x + box.w / 2, box.y + box.h / 2])
        extent = points.max(0) - points.min(0)
        assert np.abs(np.array([box.w, box.h]) - 1.2 * extent).max() <= 2
        # The frame is the square around the box's middle.
        assert np.abs(middle - np.array(view.image.size) / 2).max() <= 2


@pytest.fixture(scope="module")
def folder(rasterizer: Rasterizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_set = DataSet(10, 2, 3, Settings(surroundings=True))
    return draw_here(tmp_path_factory.mktemp("frames") / "data", data_set, rasterizer)


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
