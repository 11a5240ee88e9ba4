"""A view of edition 2: the vehicle amid its surroundings, its tight box, and the mask of its visible pixels."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from PIL import Image

from model.box import Box
from training.synthetic.scenes.camera import photograph
from training.synthetic.scenes.illumination import light_up
from training.synthetic.scenes.light import draw_varied_light
from training.synthetic.scenes.neighbours import draw_training_neighbours
from training.synthetic.scenes.occlusion import occlude
from training.synthetic.scenes.rasterizer import Rasterizer
from training.synthetic.scenes.scene import EDGE_PX, LARGEST_PX, View
from training.synthetic.scenes.training_framing import training_frame
from training.synthetic.settings import TrainingSettings
from training.synthetic.vehicles.vehicle import Vehicle

_FINEST: Final = 3
_FINE_PX: Final = 400  # a finer picture than this is not worth its time


def render_training_view(
    rasterizer: Rasterizer, vehicle: Vehicle, settings: TrainingSettings, seed: int, entropy: Sequence[int]
) -> View:
    """Draws one view of the vehicle: a square image, as large as the settings' `reach` says.

    Args:
        rasterizer: that of the settings, in this process.
        vehicle: the one to show.
        settings: what to draw from.
        seed: of the data set; its bystanders stand next to the vehicle.
        entropy: numbers of this view alone; all of its choices follow from them.
    """
    random, scenery, camera = (np.random.default_rng([*entropy, part, settings.edition]) for part in range(3))
    viewpoint, box = training_frame(vehicle, settings, random)
    occluded = bool(random.random() < settings.occluded)
    quality = round(random.uniform(*settings.jpeg_quality))
    wetness = float(random.uniform(0.3, 1)) if random.random() < settings.wet else 0.0
    middle = (box[:2] + box[2:]) / 2
    half_side = settings.reach / 2 * float((box[2:] - box[:2]).max())
    # The drawn picture's middle is the camera's target, which seldom is the box's.
    half = int(np.ceil(half_side + np.abs(middle).max())) + EDGE_PX
    finer = int(np.clip(_FINE_PX // (2 * half), 1, _FINEST))
    side = 2 * half * finer
    fine = replace(viewpoint, scale_px_per_m=viewpoint.scale_px_per_m * finer)
    neighbours = draw_training_neighbours(vehicle, settings, seed, scenery)
    light = draw_varied_light(scenery)
    surfaces = rasterizer.draw([vehicle, *neighbours], fine, (side, side))
    linear = light_up(surfaces, fine, vehicle, neighbours, light, scenery, settings.edition, wetness)
    visible = surfaces.own.astype(np.float32)
    if occluded:
        linear, cover = occlude(linear, light, scenery)
        visible = visible * (1 - cover)
    pixels = photograph(linear.reshape(2 * half, finer, 2 * half, finer, 3).mean((1, 3)), light, camera)
    share = visible.reshape(2 * half, finer, 2 * half, finer).mean((1, 3))
    left, upper, right, lower = (
        int(edge) for edge in np.round(np.concatenate([middle - half_side, middle + half_side]) + half)
    )
    image = Image.fromarray(pixels[upper:lower, left:right].round().astype(np.uint8))
    mask = Image.fromarray(share[upper:lower, left:right] >= 0.5)
    x, y, x1, y1 = (int(edge) for edge in np.round(box + half))
    tight = Box(x - left, y - upper, x1 - x, y1 - y)
    heading = viewpoint.heading_deg((0.0, 0.0), 0.0, vehicle.shape.length)
    return View(image, tight, viewpoint, heading, occluded, quality, mask)


assert LARGEST_PX[True] >= _FINE_PX  # noqa: S101 - what is drawn finer fits the window
