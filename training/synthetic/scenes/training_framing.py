"""Where edition 2's drones hang: mostly right above, and far enough that most vehicles are a few dozen pixels long."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from training.synthetic.scenes.viewpoint import Viewpoint, azimuth_for
from training.synthetic.settings import Range, TrainingSettings
from training.synthetic.vehicles.vehicle import Vehicle


def training_frame(
    vehicle: Vehicle, settings: TrainingSettings, random: np.random.Generator
) -> tuple[Viewpoint, NDArray[np.floating]]:
    """The camera, and the vehicle's tight box (left, upper, right, lower) in pixels from the picture's middle."""
    steep = random.random() < settings.steep
    depression = random.uniform(*(settings.steep_deg if steep else settings.depression_deg))
    depression = min(depression, 89.9)  # straight down, the picture's right would be anywhere
    altitude = _log_uniform(settings.altitude_m, random)
    azimuth = azimuth_for(random.uniform(-180, 180), depression)
    roll = random.normal(0, settings.roll_spread_deg)
    usual = random.random() < settings.usual
    side = _log_uniform(settings.usual_side_px if usual else settings.long_side_px, random)
    target = (0.0, 0.0, vehicle.shape.height / 2)
    one = Viewpoint(altitude, depression, azimuth, roll, 1.0, target)
    box = _box(vehicle, one)
    scale = side / float(max(box[2] - box[0], box[3] - box[1]))
    return replace(one, scale_px_per_m=scale), box * scale


def _log_uniform(limits: Range, random: np.random.Generator) -> float:
    return float(np.exp(random.uniform(*np.log(limits))))


def _box(vehicle: Vehicle, viewpoint: Viewpoint) -> NDArray[np.floating]:
    seen = viewpoint.project(vehicle.mesh.points)
    edges: NDArray[np.floating] = np.concatenate([seen.min(0), seen.max(0)])
    return edges
