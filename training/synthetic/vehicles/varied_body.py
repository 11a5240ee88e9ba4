"""Bodies of edition 2: the proportions of a type stretched far beyond it, so that no two vehicles share one."""

from typing import Final

import numpy as np

from training.synthetic.vehicles.body import Shape
from training.synthetic.vehicles.types import TYPES, Range

_STRETCH: Final = 1.9  # how much wider the ranges are than those of the type
_CARS: Final = ("sedan", "hatchback", "estate", "suv", "mpv", "coupe")
_SHORTEST_RAKE: Final = 0.035  # of the length: between the foot of a window and the roof


def varied_shape(kind: str, random: np.random.Generator) -> Shape:
    """A body of this type, a key of `TYPES`, that nobody else has."""
    base = TYPES[kind]
    is_car = kind in _CARS
    length = _stretched(base.length, random, 1.5)
    # Cabins stand further forward or back as a whole, and their four corners differ on top of that.
    shift = random.normal(0, 0.02) if is_car or kind == "pickup" else 0.0
    foot, roof_front, roof_rear, rear_foot = (
        _stretched(place, random) + shift
        for place in (base.screen_foot, base.roof_front, base.roof_rear, base.rear_foot)
    )
    if kind == "pickup" and random.random() < 0.5:  # a crew cab: the bed is shorter
        roof_rear, rear_foot = roof_rear - 0.09, rear_foot - 0.09
    if kind == "truck":  # the body behind the cab is longer or shorter
        depth = random.uniform(-0.06, 0.04)
        roof_rear, rear_foot = roof_rear + depth, rear_foot + depth
    roof_front = min(roof_front, foot - (_SHORTEST_RAKE if is_car else 0.005))
    rear_foot = max(min(rear_foot, roof_rear - 0.005), -0.497)
    belt = _stretched(base.belt, random, 1.5)
    height = max(_stretched(base.height, random), belt + 0.34)
    tumblehome = float(np.clip(_stretched(base.tumblehome, random, 2.2), 0.03, 0.34))
    low, high = (4.6, 13.0) if is_car else base.roundness
    roundness = float(np.exp(random.uniform(np.log(low), np.log(high))))
    return Shape(
        length=length,
        width=_stretched(base.width, random),
        height=height,
        clearance=base.clearance * random.uniform(0.8, 1.3),
        nose=min(_stretched(base.nose, random), belt - 0.06),
        belt=belt,
        deck=_stretched(base.deck, random, 1.5),
        windscreen=(length * foot, length * roof_front),
        rear_window=(length * max(roof_rear, -0.492), length * rear_foot),
        tumblehome=tumblehome,
        roundness=roundness,
        corners=float(np.exp(random.uniform(np.log(2.8), np.log(8.0)))) if is_car else random.uniform(6, 14),
        pillars=_pillars(kind, base.posts, random),
        glazed_rear=base.glazed_rear or (kind == "van" and random.random() < 0.5),
        taper=random.uniform(-0.01, 0.07) if is_car else 0.0,
        tail_roundness=roundness * float(np.exp(random.normal(0, 0.25))) if is_car else None,
        wheel_scale=random.uniform(0.9, 1.16),
    )


def _stretched(limits: Range, random: np.random.Generator, by: float = _STRETCH) -> float:
    """A number from a range that is stretched about its middle."""
    middle, half = (limits[0] + limits[1]) / 2, (limits[1] - limits[0]) / 2
    return float(random.uniform(middle - by * half, middle + by * half))


def _pillars(
    kind: str, usual: tuple[tuple[float, float], ...], random: np.random.Generator
) -> tuple[tuple[float, float], ...]:
    """Posts along a car's side: one to three windows, and a rear quarter that is narrow, wide or glazed."""
    if kind == "van" and random.random() < 0.4:  # a minibus
        posts = np.linspace(0.5, -0.9, int(random.integers(3, 6)))
        return ((0.95, 1.0), *((float(p) - 0.03, float(p) + 0.03) for p in posts), (-1.0, -0.95))
    if kind not in _CARS:
        return usual
    first = random.uniform(-0.12, 0.22)
    rear = random.uniform(-0.97, -0.62)
    pillars = [(random.uniform(0.93, 0.97), 1.0), (first, first + random.uniform(0.04, 0.1))]
    if kind != "coupe" and random.random() < 0.65 and rear < -0.8:
        second = random.uniform(-0.7, -0.45)
        pillars.append((second, second + random.uniform(0.04, 0.1)))
    if kind == "mpv":
        pillars.append((0.45, 0.5))
    return (*pillars, (-1.0, rear))
