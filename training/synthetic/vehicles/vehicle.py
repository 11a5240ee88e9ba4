"""One vehicle: its type, its paint and the details that no other has, built from two numbers."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.synthetic.vehicles.atlas import Atlas, Colour
from training.synthetic.vehicles.body import Shape, cabin, lower_body
from training.synthetic.vehicles.cargo import load_up
from training.synthetic.vehicles.details import DETAILS
from training.synthetic.vehicles.livery import BLACK, darker, paint_body, wheel_places, wheel_radius
from training.synthetic.vehicles.mesh import Material, Mesh, ellipsoid, join, turn_about_z, wheel
from training.synthetic.vehicles.types import COLOURS, TYPES
from training.synthetic.vehicles.wear import weather
from training.synthetic.vehicles.workshop import Workshop

_NUM_MODELS: Final = 4  # of each type: bodies that many vehicles share to the millimetre
_FEWEST_DETAILS: Final = 4
_FEWEST_STRIKING: Final = 2
_RIMS: Final[tuple[Colour, ...]] = ((120, 122, 125), (84, 86, 90), (26, 26, 27), (52, 53, 55), (148, 150, 152))


@dataclass(frozen=True)
class Vehicle:
    """A vehicle ready to be placed.

    Attributes:
        kind: such as ``sedan``; a key of `TYPES`.
        colour: such as ``white``; a key of `COLOURS`.
        details: what distinguishes it, in words.
        shape: its proportions.
        mesh: x forward, y to the left, z up, on the ground at the origin.
        picture: the atlas, in sRGB.
        hulls: the points of its convex pieces, for its shadow.
    """

    kind: str
    colour: str
    details: tuple[str, ...]
    shape: Shape
    mesh: Mesh
    picture: Image.Image
    hulls: tuple[NDArray[np.float32], ...]

    def moved(self, x: float, y: float, turn_deg: float) -> "Vehicle":
        """The vehicle standing elsewhere, turned counter-clockwise."""
        turn, offset = turn_about_z(turn_deg), np.array([x, y, 0], np.float32)
        hulls = tuple(hull @ turn + offset for hull in self.hulls)
        return replace(self, mesh=self.mesh.moved((x, y, 0), turn_deg), hulls=hulls)


def build_vehicle(seed: int, number: int, stream: int = 0) -> Vehicle:
    """The vehicle of that seed and number: always the same, and another for any other two.

    `stream` keeps apart the vehicles of the data set (0) and those that only stand about.
    """
    random = np.random.default_rng([seed, stream, number])
    kind = drawn_name(random, {name: kind.share for name, kind in TYPES.items()})
    colour = drawn_name(random, {name: share for name, (share, _) in COLOURS.items()})
    if kind == "bus" and colour in ("black", "grey"):
        colour = "white"
    # The models are everybody's, whatever the seed: real vehicles share theirs too.
    shape = TYPES[kind].shape(np.random.default_rng([*kind.encode(), int(random.integers(_NUM_MODELS))]))
    tints = COLOURS[colour][1]
    tint = np.array(tints[random.integers(len(tints))]) * np.exp(random.normal(0, 0.05)) + random.normal(0, 2, 3)
    red, green, blue = (int(value) for value in tint.clip(6, 246))
    return _assemble(kind, colour, shape, (red, green, blue), random)


def drawn_name(random: np.random.Generator, shares: dict[str, float]) -> str:
    """One of the names, as often as its share says."""
    weights = np.array(list(shares.values()))
    return list(shares)[random.choice(len(shares), p=weights / weights.sum())]


def _assemble(kind: str, colour: str, shape: Shape, paint: Colour, random: np.random.Generator) -> Vehicle:
    height = shape.height + (0.9 if kind == "truck" else 0.1)
    atlas = Atlas(shape.length, shape.width, height, paint)
    workshop = Workshop(kind, paint, shape, atlas, random)
    paint_body(atlas, shape, kind, paint, random)
    dirt = weather(workshop)
    details = [load_up(workshop)]
    fitting = [detail for detail in DETAILS if kind in detail.types]
    num_fitted = num_striking = 0
    while num_fitted < _FEWEST_DETAILS or num_striking < _FEWEST_STRIKING:
        for detail in [*fitting]:
            if random.random() < detail.share:
                details.append(detail.fit(workshop))
                fitting.remove(detail)
                num_fitted += 1
                num_striking += detail.striking
    return put_together(workshop, colour, (*details, dirt), random, tints=(34, 130))


def put_together(
    w: Workshop, colour: str, words: tuple[str, ...], random: np.random.Generator, tints: tuple[int, int]
) -> Vehicle:
    """The vehicle of what the workshop holds: shells, glass of a tint between two greys, wheels, mirrors and parts."""
    shape, atlas = w.shape, w.atlas
    body, house = lower_body(shape), cabin(shape)
    glass = _glass(house, atlas, shape, random, tints)
    mesh = join([atlas.projected(body), glass, *w.parts, *_fittings(w)])
    hulls = [body.points, house.points, *(part.points for part in w.parts)]
    named = tuple(word for word in words if word)
    return Vehicle(w.kind, colour, named, shape, mesh, atlas.image, tuple(hulls))


def _glass(house: Mesh, atlas: Atlas, shape: Shape, random: np.random.Generator, tints: tuple[int, int]) -> Mesh:
    """The cabin with its panes, tinted behind the front seats or not, and its dark posts."""
    tint = int(random.integers(*tints))
    front: Colour = (tint, round(tint * 1.12) + 4, round(tint * 1.1) + 4)
    rear: Colour = front if random.random() < 0.5 else (24, 28, 29)
    material = house.material[house.triangles[:, 0]]
    is_glass, is_post = material == Material.GLASS, material == Material.MATT
    behind = house.points[house.triangles].mean(1)[:, 0] < shape.roof_outline[0] - 0.1

    return join(
        [
            atlas.projected(house.part(material == Material.PAINT)),
            *([atlas.flat(house.part(is_post), BLACK)] if is_post.any() else []),
            *(
                # The sun reaches the dashboard and the shelf behind the seats, not the roof's inside.
                atlas.graded(house.part(chosen), colour, darker(colour, 0.45), (shape.belt, shape.height))
                for chosen, colour in ((is_glass & ~behind, front), (is_glass & behind, rear))
                if chosen.any()
            ),
        ]
    )


def _fittings(w: Workshop) -> list[Mesh]:
    """Wheels and mirrors."""
    rim = _RIMS[w.random.integers(len(_RIMS))]
    radius = wheel_radius(w.kind) * w.shape.wheel_scale
    parts = []
    for x in wheel_places(w.shape, w.kind):
        for sign in (-1, 1):
            tyre, disc = wheel((x, sign * (w.shape.width / 2 - 0.17), radius), radius, 0.24)
            parts += [w.atlas.flat(tyre, (18, 18, 18)), w.atlas.flat(disc, rim)]
    mirror = BLACK if w.chance(0.3) or w.kind in ("truck", "bus") else w.paint
    x = w.shape.windscreen[0] - 0.28 if w.kind not in ("bus", "truck") else w.shape.windscreen[0] + 0.1
    for sign in (-1, 1):
        y = sign * (w.shape.width / 2 + 0.01)
        part = ellipsoid((x, y, w.shape.belt + 0.02), (0.07, 0.1, 0.07), 3, Material.PAINT)
        parts.append(w.atlas.flat(part, mirror))
    return parts
