"""What a roof has and carries."""

from typing import Final

import numpy as np

from training.synthetic.vehicles.atlas import Colour
from training.synthetic.vehicles.livery import BLACK, darker
from training.synthetic.vehicles.mesh import Material
from training.synthetic.vehicles.workshop import Workshop

_LOADS: Final[tuple[Colour, ...]] = (
    (120, 90, 62), (168, 148, 118), (72, 90, 124), (134, 56, 50), (84, 104, 84), (200, 200, 196), (40, 40, 42),
    (190, 144, 72),
)  # fmt: skip


def sunroof(w: Workshop) -> str:
    """A window in the roof, small or nearly all of it."""
    centre, half_length, half_width = w.shape.roof_outline
    form = ("small", "panorama", "twin", "rear hatch")[w.random.integers(4)]
    glass = w.pick((10, 12, 14), (24, 28, 32), (14, 22, 26))
    spans = {
        "small": [(0.25, 0.72)], "panorama": [(-0.75, 0.78)], "twin": [(0.2, 0.75), (-0.65, 0.05)],
        "rear hatch": [(-0.7, -0.2)],
    }[form]  # fmt: skip
    for low, high in spans:
        y = half_width * (0.62 if form == "small" else 0.74)
        w.add_roof_patch((centre + half_length * low, centre + half_length * high), (-y, y), glass, Material.GLASS)
    return f"{form} sunroof"


def rails(w: Workshop) -> str:
    """Two rails along the roof."""
    centre, half_length, half_width = w.shape.roof_outline
    colour, name = ((190, 192, 194), "silver") if w.chance(0.55) else ((18, 18, 18), "black")
    z = float(w.shape.roof_height(np.array(centre), np.array(half_width * 0.86)))
    for sign in (-1, 1):
        y = sign * half_width * 0.86
        w.add_box(
            (centre - half_length * 0.85, y - 0.025, z - 0.03),
            (centre + half_length * 0.75, y + 0.025, z + 0.06),
            colour,
            Material.CHROME if name == "silver" else Material.MATT,
        )
    return f"{name} rails"


def bars(w: Workshop) -> str:
    """Bars across the roof."""
    centre, half_length, half_width = w.shape.roof_outline
    z = w.shape.height + 0.06
    places = sorted(w.random.uniform(-0.7, 0.7, 2)) if w.chance(0.7) else (-0.6, 0.0, 0.6)
    for place in places:
        x = centre + half_length * place
        w.add_box(
            (x - 0.04, -half_width, z - 0.03), (x + 0.04, half_width, z + 0.02), w.pick((20, 20, 20), (180, 180, 184))
        )
    return f"{len(places)} bars"


def roof_load(w: Workshop) -> str:
    """A box, a ladder, luggage or boards, on one side more than on the other."""
    centre, half_length, half_width = w.shape.roof_outline
    side = w.side()
    sign = 1 if side == "left" else -1
    z = w.shape.height
    form = ("box", "ladder", "luggage", "boards")[w.random.integers(4)]
    if form == "box":
        y = sign * half_width * w.random.uniform(0.15, 0.4)
        w.add_ellipsoid(
            (centre + w.random.uniform(-0.2, 0.3), y, z + 0.22), (min(half_length, 1.0), half_width * 0.48, 0.2),
            w.pick((25, 25, 27), (150, 152, 155), (235, 235, 235)), Material.PAINT,
        )  # fmt: skip
    elif form == "ladder":
        y = sign * half_width * 0.5
        for offset in (-0.19, 0.19):
            w.add_box(
                (centre - half_length, y + offset - 0.03, z + 0.06),
                (centre + half_length, y + offset + 0.03, z + 0.12),
                (196, 190, 176),
            )
        for x in np.arange(centre - half_length + 0.1, centre + half_length, 0.3):
            w.add_box((x, y - 0.19, z + 0.07), (x + 0.05, y + 0.19, z + 0.11), (196, 190, 176))
    elif form == "luggage":
        for _ in range(int(w.random.integers(1, 4))):
            x = centre + half_length * w.random.uniform(-0.6, 0.4)
            y = half_width * w.random.uniform(-0.5, 0.5)
            size = w.random.uniform(0.25, 0.45, 2)
            w.add_box((x, y - size[1], z), (x + 2 * size[0], y + size[1], z + 0.3), w.pick(*_LOADS))
    else:
        for y in sign * half_width * np.array([0.2, 0.45, 0.7]):
            w.add_box(
                (centre - half_length * 1.1, y - 0.1, z + 0.05),
                (centre + half_length * 0.9, y + 0.1, z + 0.1),
                w.pick((188, 152, 98), (160, 120, 80)),
            )
    return f"{form} on the roof, {side}"


def antenna(w: Workshop) -> str:
    """A fin."""
    centre, half_length, _ = w.shape.roof_outline
    at, place = (-0.85, "rear") if w.chance(0.75) else (0.8, "front")
    w.add_ellipsoid(
        (centre + half_length * at, 0, w.shape.height), (0.11, 0.04, 0.08), w.pick(w.paint, BLACK), Material.PAINT, 2
    )
    return f"antenna {place}"


def roof_sign(w: Workshop) -> str:
    """A taxi's, a driving school's."""
    centre, half_length, _ = w.shape.roof_outline
    colour = w.pick((212, 180, 70), (228, 228, 226), (70, 96, 160), (190, 116, 60))
    x = centre + half_length * w.random.uniform(-0.3, 0.6)
    w.add_box((x - 0.09, -0.36, w.shape.height - 0.02), (x + 0.09, 0.36, w.shape.height + 0.14), colour)
    return "roof sign"


def coloured_roof(w: Workshop) -> str:
    """A roof of another colour."""
    centre, half_length, half_width = w.shape.roof_outline
    colour = w.pick(BLACK, (232, 232, 230), darker(w.paint, 0.6), (150, 152, 155))
    w.atlas.rectangle(
        "top", (centre - half_length, -half_width - 0.03), (centre + half_length, half_width + 0.03), colour
    )
    return "coloured roof"
