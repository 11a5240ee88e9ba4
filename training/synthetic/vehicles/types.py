"""The kinds of vehicle on the road: how common each is, and the range of its proportions."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from training.synthetic.vehicles.body import Shape

Range = tuple[float, float]
_CAR_POSTS: Final = ((0.96, 1.0), (0.05, 0.11), (-0.72, -0.64), (-1.0, -0.96))


@dataclass(frozen=True)
class VehicleType:
    """A kind of vehicle. Lengths are metres; places along the vehicle are parts of its length, the front at 0.5.

    Attributes:
        share: of all vehicles.
        length, width, height, clearance, nose, belt, deck: ranges, as in `Shape`.
        screen_foot, roof_front, roof_rear, rear_foot: of the cabin, along the vehicle.
        posts: the cabin's pillars.
    """

    share: float
    length: Range
    width: Range
    height: Range
    clearance: float
    nose: Range
    belt: Range
    deck: Range
    screen_foot: Range
    roof_front: Range
    roof_rear: Range
    rear_foot: Range
    tumblehome: Range
    roundness: Range
    posts: tuple[tuple[float, float], ...] = _CAR_POSTS
    glazed_rear: bool = True

    def shape(self, random: np.random.Generator) -> Shape:
        """A model of this kind."""
        length = random.uniform(*self.length)
        foot, front, rear, rear_foot = (
            length * random.uniform(*place)
            for place in (self.screen_foot, self.roof_front, self.roof_rear, self.rear_foot)
        )
        return Shape(
            length,
            random.uniform(*self.width),
            random.uniform(*self.height),
            self.clearance,
            random.uniform(*self.nose),
            random.uniform(*self.belt),
            random.uniform(*self.deck),
            (foot, front),
            (rear, rear_foot),
            random.uniform(*self.tumblehome),
            random.uniform(*self.roundness),
            random.uniform(3.4, 5.5) if self.length[1] < 5.2 else random.uniform(8, 14),
            self.posts,
            self.glazed_rear,
        )


def _bus_posts(number: int) -> tuple[tuple[float, float], ...]:
    centres = np.linspace(-0.97, 0.95, number)
    return tuple((float(c) - 0.012, float(c) + 0.012) for c in centres)


TYPES: Final[dict[str, VehicleType]] = {
    "sedan": VehicleType(0.24, (4.35, 5.0), (1.76, 1.9), (1.4, 1.5), 0.2, (0.66, 0.76), (0.92, 1.0), (0.95, 1.05),
                         (0.2, 0.25), (0.06, 0.1), (-0.2, -0.15), (-0.36, -0.31), (0.21, 0.27), (5, 8)),
    "hatchback": VehicleType(0.19, (3.65, 4.35), (1.68, 1.82), (1.44, 1.56), 0.2, (0.68, 0.78), (0.94, 1.02),
                             (0.9, 1.0), (0.22, 0.28), (0.08, 0.13), (-0.41, -0.34), (-0.48, -0.45), (0.18, 0.24),
                             (5, 7.5)),
    "estate": VehicleType(0.12, (4.5, 5.0), (1.78, 1.9), (1.44, 1.54), 0.2, (0.66, 0.76), (0.94, 1.0), (0.9, 1.0),
                          (0.2, 0.24), (0.06, 0.1), (-0.44, -0.4), (-0.485, -0.465), (0.19, 0.25), (5, 8)),
    "suv": VehicleType(0.18, (4.3, 5.0), (1.82, 2.0), (1.6, 1.85), 0.26, (0.86, 1.0), (1.06, 1.18), (1.0, 1.1),
                       (0.2, 0.25), (0.08, 0.13), (-0.43, -0.38), (-0.485, -0.46), (0.16, 0.22), (6, 9)),
    "mpv": VehicleType(0.06, (4.3, 4.95), (1.8, 1.95), (1.62, 1.85), 0.2, (0.78, 0.9), (0.98, 1.08), (0.95, 1.05),
                       (0.28, 0.34), (0.1, 0.15), (-0.45, -0.4), (-0.49, -0.47), (0.16, 0.22), (6, 9),
                       ((0.94, 1.0), (0.45, 0.5), (-0.02, 0.05), (-0.6, -0.54), (-1.0, -0.96))),
    "coupe": VehicleType(0.05, (4.2, 4.7), (1.78, 1.92), (1.28, 1.38), 0.16, (0.62, 0.7), (0.86, 0.94), (0.9, 1.0),
                         (0.14, 0.2), (0.0, 0.05), (-0.18, -0.14), (-0.42, -0.35), (0.24, 0.3), (4, 6),
                         ((0.94, 1.0), (-0.4, -0.3), (-1.0, -0.9))),
    "pickup": VehicleType(0.05, (5.0, 5.6), (1.84, 2.0), (1.72, 1.9), 0.3, (0.95, 1.05), (1.1, 1.2), (0.62, 0.7),
                          (0.19, 0.23), (0.1, 0.14), (-0.1, -0.06), (-0.12, -0.09), (0.13, 0.18), (8, 13)),
    "van": VehicleType(0.06, (4.7, 6.0), (1.9, 2.08), (1.95, 2.6), 0.22, (0.95, 1.1), (1.18, 1.3), (1.1, 1.2),
                       (0.36, 0.42), (0.24, 0.31), (-0.49, -0.48), (-0.497, -0.492), (0.08, 0.14), (9, 14),
                       ((0.96, 1.0), (-1.0, 0.52)), glazed_rear=False),
    "bus": VehicleType(0.015, (9.5, 12.0), (2.45, 2.55), (2.9, 3.2), 0.3, (1.1, 1.2), (1.25, 1.4), (1.2, 1.3),
                       (0.494, 0.497), (0.482, 0.488), (-0.492, -0.488), (-0.497, -0.494), (0.04, 0.08), (24, 34),
                       _bus_posts(9)),
    "truck": VehicleType(0.035, (6.2, 9.0), (2.1, 2.5), (2.4, 2.9), 0.4, (1.3, 1.45), (1.5, 1.65), (0.9, 1.0),
                         (0.485, 0.494), (0.44, 0.46), (0.29, 0.31), (0.285, 0.29), (0.05, 0.1), (24, 34),
                         ((0.9, 1.0), (-1.0, 0.0)), glazed_rear=False),
}  # fmt: skip
COLOURS: Final[dict[str, tuple[float, tuple[tuple[int, int, int], ...]]]] = {
    "white": (0.24, ((238, 238, 236), (230, 232, 235), (240, 236, 228))),
    "black": (0.19, ((14, 14, 16), (22, 22, 24), (18, 20, 26))),
    "grey": (0.17, ((104, 106, 109), (84, 87, 92), (124, 125, 126))),
    "silver": (0.14, ((172, 173, 174), (186, 187, 188), (164, 167, 171))),
    "blue": (0.1, ((28, 48, 98), (36, 82, 150), (52, 78, 116))),
    "red": (0.07, ((128, 20, 24), (165, 28, 28), (92, 16, 30))),
    "beige": (0.035, ((178, 164, 138), (150, 134, 110), (122, 104, 84))),
    "green": (0.025, ((34, 62, 48), (60, 82, 70), (84, 102, 80))),
    "yellow": (0.015, ((206, 168, 52), (198, 184, 84), (220, 196, 96))),
    "orange": (0.015, ((192, 94, 44), (176, 80, 40), (200, 118, 66))),
}
