"""Who else stands about: vehicles at the sides, ahead and behind."""

from functools import lru_cache
from typing import Final

import numpy as np

from training.synthetic.settings import Settings, TrainingSettings
from training.synthetic.vehicles.training_vehicle import build_training_vehicle
from training.synthetic.vehicles.vehicle import Vehicle, build_vehicle

_NUM_BYSTANDERS: Final = 240  # in a seed; none of them is an identity of the data set


@lru_cache(_NUM_BYSTANDERS)
def _bystander(seed: int, number: int) -> Vehicle:
    return build_vehicle(seed, number, stream=1)


def draw_neighbours(vehicle: Vehicle, settings: Settings, seed: int, random: np.random.Generator) -> list[Vehicle]:
    """Vehicles of the seed, placed around the one that stands at the origin."""
    placed = []
    for along, across, often in ((0, 1, 1.0), (0, -1, 1.0), (1, 0, 0.5), (-1, 0, 0.5)):
        wanted, number, gap, slip, turn, back = (
            random.random(), int(random.integers(_NUM_BYSTANDERS)), random.uniform(0.4, 1.5), random.normal(0, 0.5),
            random.normal(0, 2.5), random.random() < 0.4,
        )  # fmt: skip
        if wanted > settings.neighbour * often:
            continue
        other = _bystander(seed, number)
        if other.kind in ("bus", "truck"):
            gap += 0.4
        x = along * ((vehicle.shape.length + other.shape.length) / 2 + gap) + (slip if across else 0)
        y = across * ((vehicle.shape.width + other.shape.width) / 2 + gap) + (0 if across else slip * 0.3)
        placed.append(other.moved(x, y, turn + (180 if back else 0)))
    return placed


@lru_cache(_NUM_BYSTANDERS)
def _training_bystander(seed: int, number: int, plain_share: float) -> Vehicle:
    return build_training_vehicle(seed, number, plain_share, stream=1)


def draw_training_neighbours(
    vehicle: Vehicle, settings: TrainingSettings, seed: int, random: np.random.Generator
) -> list[Vehicle]:
    """Edition 2's: a few in traffic, or a car park where both sides are taken and near."""
    crowded = random.random() < settings.crowded
    placed = []
    for along, across in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        share = (0.95 if across else 0.4) if crowded else settings.neighbour * (1.0 if across else 0.5)
        if random.random() >= share:
            continue
        other = _training_bystander(seed, int(random.integers(_NUM_BYSTANDERS)), settings.plain)
        gap = random.uniform(0.3, 0.8) if crowded else random.uniform(0.7, 2.2)
        slip, turn, back = random.normal(0, 0.3 if crowded else 1.2), random.normal(0, 2), random.random() < 0.4
        x = along * ((vehicle.shape.length + other.shape.length) / 2 + gap) + (slip if across else 0)
        y = across * ((vehicle.shape.width + other.shape.width) / 2 + gap) + (0 if across else slip * 0.2)
        placed.append(other.moved(x, y, turn + (180 if back else 0)))
    return placed
