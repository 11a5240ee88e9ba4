"""Paint as it is on the road: three vehicles in four are white, black, silver or grey."""

from typing import Final

import numpy as np

from training.synthetic.vehicles.atlas import Colour

_PAINTS: Final[dict[str, tuple[float, tuple[Colour, ...]]]] = {
    "white": (0.25, ((240, 240, 238), (228, 230, 233), (238, 234, 226), (214, 217, 220))),
    "black": (0.19, ((13, 13, 15), (22, 23, 25), (16, 19, 27), (30, 31, 33), (24, 20, 19))),
    "grey": (0.17, ((104, 106, 109), (80, 84, 89), (126, 127, 128), (66, 68, 72), (96, 100, 104), (112, 108, 104))),
    "silver": (0.15, ((172, 173, 174), (188, 189, 190), (160, 164, 168), (178, 175, 168))),
    "blue": (0.09, ((28, 46, 96), (34, 80, 150), (54, 78, 114), (22, 34, 62), (84, 120, 156), (40, 60, 80))),
    "red": (0.07, ((126, 20, 24), (166, 28, 28), (92, 16, 28), (196, 40, 34), (110, 36, 34))),
    "beige": (0.03, ((176, 164, 140), (148, 134, 112), (122, 104, 84), (196, 188, 168))),
    "green": (0.025, ((34, 60, 46), (60, 82, 70), (84, 102, 78), (40, 130, 60), (96, 116, 96))),
    "yellow": (0.015, ((208, 170, 50), (196, 184, 84), (222, 196, 70))),
    "orange": (0.01, ((192, 94, 44), (178, 80, 40), (206, 116, 50))),
}


def draw_paint(random: np.random.Generator, kind: str) -> tuple[str, Colour]:
    """A paint's name, a key of `COLOURS`, and its shade, for a vehicle of this type."""
    shares = np.array([share for share, _ in _PAINTS.values()])
    if kind in ("van", "bus", "truck"):  # most of them carry a firm's goods, in white
        shares = shares * np.where([name == "white" for name in _PAINTS], 3.0, 1.0)
    name = list(_PAINTS)[random.choice(len(_PAINTS), p=shares / shares.sum())]
    shades = _PAINTS[name][1]
    shade = np.array(shades[random.integers(len(shades))]) * np.exp(random.normal(0, 0.08)) + random.normal(0, 3, 3)
    red, green, blue = (int(value) for value in shade.clip(6, 246))
    return name, (red, green, blue)
