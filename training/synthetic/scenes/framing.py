"""Where the drone hangs, and the box around the vehicle that becomes the crop."""

import numpy as np
from numpy.typing import NDArray

from training.synthetic.scenes.viewpoint import Viewpoint, azimuth_for
from training.synthetic.settings import Settings
from training.synthetic.vehicles.vehicle import Vehicle


def frame(vehicle: Vehicle, settings: Settings, random: np.random.Generator) -> tuple[Viewpoint, NDArray[np.floating]]:
    """The camera, and the crop's box (left, upper, right, lower) in pixels from the picture's middle."""
    altitude, depression = random.uniform(*settings.altitude_m), random.uniform(*settings.depression_deg)
    azimuth = azimuth_for(random.uniform(-180, 180), depression)
    roll = random.normal(0, settings.roll_spread_deg)
    focal = np.exp(random.uniform(*np.log(settings.focal_px)))
    margins = random.normal(settings.box_margin, settings.box_spread, 4).clip(-0.12, 0.25)
    if random.random() < settings.cut_off:
        margins[random.integers(4)] = -random.uniform(0.1, 0.3)
    target = (0.0, 0.0, vehicle.shape.height / 2)
    coarse = Viewpoint(altitude, depression, azimuth, roll, 1.0, target)

    def box(viewpoint: Viewpoint) -> NDArray[np.floating]:
        seen = viewpoint.project(vehicle.mesh.points)
        lower, upper = seen.min(0), seen.max(0)
        extent = np.tile(upper - lower, 2)
        edges: NDArray[np.floating] = np.concatenate([lower, upper]) + margins * extent * np.array([-1, -1, 1, 1])
        return edges

    one = box(coarse)
    longest = max(one[2] - one[0], one[3] - one[1])
    low, high = settings.long_side_px
    scale = float(np.clip(focal / coarse.distance_m, (low + 1) / longest, (high - 1) / longest))
    viewpoint = Viewpoint(altitude, depression, azimuth, roll, scale, target)
    return viewpoint, box(viewpoint)
