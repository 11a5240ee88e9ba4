"""Shadows on the ground plane: of the vehicles, and of houses, trees and posts that the picture does not show."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.synthetic.scenes.light import Light
from training.synthetic.scenes.plan import Plan
from training.synthetic.vehicles.vehicle import Vehicle

Image = NDArray[np.float32]
_BEYOND_M: Final = 2.0  # how far shadows are drawn beyond the ground that is seen
_FINEST_PX_PER_M: Final = 24.0
_CAR_ABOVE_M, _TREE_ABOVE_M = 0.8, 3.0  # how high above their shadow the edges are that cast it


class Shadows:
    """How much of the sun is gone where.

    Any point's shadow is looked up where the sun's ray through it meets the ground: a mask on the ground then serves
    the vehicles' surfaces too. A vehicle is not shaded by its own convex pieces.
    """

    def __init__(
        self,
        vehicle: Vehicle,
        neighbours: Sequence[Vehicle],
        light: Light,
        area: tuple[NDArray[np.floating], NDArray[np.floating]],
        px_per_m: float,
        random: np.random.Generator,
        edition: int = 1,
    ) -> None:
        self._sun = light.sun
        lower, upper = area[0] - _BEYOND_M, area[1] + _BEYOND_M

        def plan() -> Plan:
            return Plan(lower, upper, min(px_per_m, _FINEST_PX_PER_M), "L", 0)

        def cast(vehicles: Iterable[Vehicle]) -> Image:
            drawn = plan()
            for one in vehicles:
                drawn.hulls([self._along_sun(hull) for hull in one.hulls], 255)
                drawn.hulls([one.hulls[0][:, :2]], 255)  # hardly any sun gets below a vehicle
            return _share(drawn, 0.02 + light.softness * _CAR_ABOVE_M)

        self._plan = plan()
        self._own = cast([vehicle])
        self._others = cast(neighbours)
        far = _draw_far(plan(), random) if edition == 1 else _draw_many_far(plan(), random)
        self._far = _share(far, 0.02 + light.softness * _TREE_ABOVE_M)
        bodies = plan()
        bodies.hulls([one.hulls[0][:, :2] for one in (vehicle, *neighbours)], 255)
        self._bodies = _share(bodies, 0.22)
        self._half = np.array([vehicle.shape.length / 2, vehicle.shape.width / 2]) + 0.25

    def sun_on_ground(self, points: Image) -> Image:
        """(N,) the share of the sun that reaches points (N, 2) of the ground."""
        own, others, far = (self._plan.look_up(mask, points) for mask in (self._own, self._others, self._far))
        return (1 - own) * (1 - others) * (1 - far)

    def closeness(self, points: Image) -> Image:
        """(N,) how much of the sky vehicles hide from points (N, 2) of the ground: 1 right below them."""
        return self._plan.look_up(self._bodies, points)

    def sun_on_vehicles(self, points: Image) -> Image:
        """(N,) the share of the sun that reaches points (N, 3) of the vehicles."""
        below = self._along_sun(points)
        is_own = (np.abs(points[:, :2]) < self._half).all(1)
        others = np.where(is_own, self._plan.look_up(self._others, below), self._plan.look_up(self._own, below))
        sun: Image = (1 - others) * (1 - self._plan.look_up(self._far, below))
        return sun

    def _along_sun(self, places: Image) -> Image:
        """Where the sun's rays through places (..., 3) meet the ground."""
        below: Image = places[..., :2] - places[..., 2:3] * (self._sun[:2] / self._sun[2])
        return below


def _share(plan: Plan, blur_m: float) -> Image:
    share: Image = np.asarray(plan.blurred(blur_m), np.float32) / np.float32(255)
    return share


def _draw_far(shadow: Plan, random: np.random.Generator) -> Plan:
    form = ("none", "house", "tree", "post")[random.choice(4, p=[0.62, 0.13, 0.15, 0.1])]
    return _draw_one_far(shadow, form, random)


def _draw_many_far(shadow: Plan, random: np.random.Generator) -> Plan:
    """Edition 2's: trees more often, lattices of masts and fences, and several of them together."""
    for _ in range(int(random.choice([0, 1, 2, 3], p=[0.42, 0.38, 0.14, 0.06]))):
        form = ("house", "tree", "branches", "post", "lattice")[random.choice(5, p=[0.2, 0.3, 0.2, 0.15, 0.15])]
        _draw_one_far(shadow, form, random)
    return shadow


def _draw_one_far(shadow: Plan, form: str, random: np.random.Generator) -> Plan:
    angle = random.uniform(0, 2 * np.pi)
    along, aside = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    if form == "house":
        start = aside * random.uniform(-1.5, 2.5)
        ends = [start - 80 * along, start + 80 * along, start + 80 * (along + aside), start + 80 * (aside - along)]
        shadow.polygon(np.array(ends), 255)
    elif form == "tree":
        centre = random.uniform(-4, 4, 2)
        around = np.linspace(0, 2 * np.pi, 10)
        circle = np.stack([np.cos(around), np.sin(around)], 1)
        for _ in range(40):
            blob = centre + random.normal(0, 1.5, 2) + random.uniform(0.1, 0.7) * circle
            shadow.polygon(blob, int(random.uniform(120, 255)))
    elif form == "post":
        start = aside * random.uniform(-2.5, 2.5)
        shadow.strip(start - 60 * along, start + 60 * along, random.uniform(0.1, 0.3), 230)
    elif form == "branches":
        centre = random.uniform(-4, 4, 2)
        for _ in range(int(random.integers(12, 30))):
            start = centre + random.normal(0, 0.8, 2)
            shadow.strip(
                start, start + random.normal(0, 2.0, 2), random.uniform(0.04, 0.2), int(random.uniform(120, 240))
            )
    elif form == "lattice":
        gap, breadth = random.uniform(0.4, 1.6), random.uniform(1.0, 3.0)
        start = aside * random.uniform(-3, 2)
        for edge in (start, start + breadth * aside):
            shadow.strip(edge - 30 * along, edge + 30 * along, 0.12, 220)
        for number in range(-12, 12):
            foot, head = start + number * gap * along, start + (number + 1) * gap * along + breadth * aside
            shadow.strip(foot, head, 0.08, 210)
    return shadow
