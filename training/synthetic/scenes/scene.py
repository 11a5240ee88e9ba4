"""A view of a vehicle where it stands: everything in the scene put together, and photographed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.box import Box
from training.synthetic.scenes.framing import frame
from training.synthetic.scenes.illumination import light_up
from training.synthetic.scenes.light import draw_light
from training.synthetic.scenes.neighbours import draw_neighbours
from training.synthetic.scenes.occlusion import occlude
from training.synthetic.scenes.rasterizer import Rasterizer
from training.synthetic.scenes.sensor import expose
from training.synthetic.scenes.viewpoint import Viewpoint
from training.synthetic.settings import Settings
from training.synthetic.vehicles.vehicle import Vehicle

LARGEST_PX: Final = {False: 640, True: 960}
"""A side of the largest picture that is drawn, without and with surroundings."""
EDGE_PX: Final = 4  # drawn beyond the crop, so that blur and noise know no border


@dataclass(frozen=True)
class View:
    """A crop and what is known about it.

    Attributes:
        image: RGB, at native size.
        box: the crop in the image; None if the image is the crop.
        viewpoint: the camera; the vehicle stands at the origin and points along x.
        heading_deg: the rear→front axis in the crop, counter-clockwise from the right, in (−180, 180].
        occluded: whether something hangs in front of it.
        jpeg_quality: for the file.
        mask: of one bit, as large as the image: the vehicle's visible pixels; None where nobody asks for it.
    """

    image: Image.Image
    box: Box | None
    viewpoint: Viewpoint
    heading_deg: float
    occluded: bool
    jpeg_quality: int
    mask: Image.Image | None = None


def rasterizer_for(settings: Settings) -> Rasterizer:
    """The rasterizer whose pictures are this data set's."""
    return Rasterizer(LARGEST_PX[settings.surroundings])


def render_view(
    rasterizer: Rasterizer, vehicle: Vehicle, settings: Settings, seed: int, entropy: Sequence[int]
) -> View:
    """Draws one view of the vehicle.

    Args:
        rasterizer: that of the settings, in this process.
        vehicle: the one to show.
        settings: what to draw from.
        seed: of the data set; its bystanders stand next to the vehicle.
        entropy: numbers of this view alone; all of its choices follow from them.
    """
    random, scenery, camera = (np.random.default_rng([*entropy, part]) for part in range(3))
    viewpoint, box = frame(vehicle, settings, random)
    occluded = bool(random.random() < settings.occluded)
    quality = round(random.uniform(*settings.jpeg_quality))
    shown = around(box) if settings.surroundings else box
    half = np.ceil(np.abs(shown).reshape(2, 2).max(0)).astype(int) + EDGE_PX
    width, height = 2 * int(half[0]), 2 * int(half[1])
    finer = _finer(int(half.max()), LARGEST_PX[settings.surroundings])
    fine = replace(viewpoint, scale_px_per_m=viewpoint.scale_px_per_m * finer)
    neighbours = draw_neighbours(vehicle, settings, seed, scenery)
    light = draw_light(scenery)
    surfaces = rasterizer.draw([vehicle, *neighbours], fine, (width * finer, height * finer))
    linear = light_up(surfaces, fine, vehicle, neighbours, light, scenery)
    if occluded:
        linear, _ = occlude(linear, light, scenery)
    pixels = expose(linear.reshape(height, finer, width, finer, 3).mean((1, 3)), camera)
    left, upper, right, lower = np.round(shown + np.tile(half, 2)).astype(int)
    image = Image.fromarray(pixels[upper:lower, left:right].round().astype(np.uint8))
    corners = np.round(box + np.tile(half, 2)).astype(int) - [left, upper, left, upper]
    x, y, x1, y1 = (int(corner) for corner in corners)
    cut = Box(x, y, x1 - x, y1 - y) if settings.surroundings else None
    heading = viewpoint.heading_deg((0.0, 0.0), 0.0, vehicle.shape.length)
    return View(image, cut, viewpoint, heading, occluded, quality)


def _finer(half_px: int, largest_px: int) -> int:
    """How much finer a picture is drawn than it is kept, and averaged: linear light, as on a sensor's pixel."""
    if half_px <= 50:
        return 3
    # From the lowest and nearest, with one side cut off, few crops lie so far beside the middle that twice is too much.
    return 2 if 4 * half_px <= largest_px else 1


def around(box: NDArray[np.floating]) -> NDArray[np.floating]:
    """The square around the circle around a box (left, upper, right, lower)."""
    middle = (box[:2] + box[2:]) / 2
    radius = np.linalg.norm(box[2:] - box[:2]) / 2 + 2
    square: NDArray[np.floating] = np.concatenate([middle - radius, middle + radius])
    return square
