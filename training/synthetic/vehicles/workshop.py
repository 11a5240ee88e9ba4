"""A vehicle while it is built: its shape, the picture of its surfaces, its parts so far, and ways to add to them."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from training.synthetic.vehicles.atlas import Atlas, Colour, Side
from training.synthetic.vehicles.body import Shape
from training.synthetic.vehicles.mesh import Material, Mesh, box, ellipsoid, grid

_PALE: Colour = (228, 228, 224)
_DARK: Colour = (24, 24, 26)
Point = tuple[float, float, float]


@dataclass
class Workshop:
    """What the details are fitted to. `random` draws this one vehicle's choices."""

    kind: str
    paint: Colour
    shape: Shape
    atlas: Atlas
    random: np.random.Generator
    parts: list[Mesh] = field(default_factory=list)

    def chance(self, probability: float) -> bool:
        """True that often."""
        return bool(self.random.random() < probability)

    def pick(self, *choices: Colour) -> Colour:
        """One of the colours."""
        return choices[self.random.integers(len(choices))]

    def side(self) -> Literal["left", "right"]:
        """One of the sides."""
        return "left" if self.random.random() < 0.5 else "right"

    def add_box(self, lower: Point, upper: Point, colour: Colour, material: Material = Material.MATT) -> None:
        """A box with sharp edges."""
        self.parts.append(self.atlas.flat(box(lower, upper, material), colour))

    def add_ellipsoid(
        self, centre: Point, radii: Point, colour: Colour, material: Material = Material.MATT, squareness: float = 5
    ) -> None:
        """A rounded body."""
        self.parts.append(self.atlas.flat(ellipsoid(centre, radii, squareness, material), colour))

    def add_roof_patch(
        self, x: tuple[float, float], y: tuple[float, float], colour: Colour, material: Material
    ) -> None:
        """A piece that follows the roof, a finger above it; x and y from the lower to the upper end."""
        along, across = np.meshgrid(np.linspace(*x, 6), np.linspace(*y, 6))
        z = self.shape.roof_height(along, across) + 0.015
        self.parts.append(self.atlas.flat(grid(np.stack([along, across, z], -1), material), colour))

    def add_pane_patch(
        self,
        pane: Literal["windscreen", "rear window"],
        u: tuple[float, float],
        v: tuple[float, float],
        colour: Colour,
        material: Material = Material.MATT,
    ) -> None:
        """A piece upon a window; u from its right to its left in −1..1, v from its foot (0) to the roof (1)."""
        shape = self.shape
        foot, head = shape.windscreen if pane == "windscreen" else shape.rear_window[::-1]
        out = 0.05 if pane == "windscreen" else -0.05
        across, up = np.meshgrid(np.linspace(*u, 5), np.linspace(*v, 5))
        half_width = (shape.width / 2 - 0.06 - shape.tumblehome * up) * 0.93
        bend = 0.05 * (1 - across**2) * np.sign(out)
        x = foot + (head - foot) * up + out + bend * 0.4
        z = shape.belt + (shape.height - shape.crown - shape.belt) * up + 0.02
        points = np.stack([x, half_width * across, z], -1)
        points = points if pane == "windscreen" else points[:, ::-1]
        self.parts.append(self.atlas.flat(grid(points, material), colour))

    def add_sticker(self, side: Side, centre: tuple[float, float], size_m: tuple[float, float]) -> str:
        """Lays a sticker upon a chart: a plain shape, stripes, or letters. Returns what it is."""
        width, height = (max(3, round(extent * self.atlas.scale)) for extent in size_m)
        ground = self.pick(_PALE, _PALE, _DARK, _DARK, (150, 36, 34), (40, 62, 120), (196, 170, 70), (60, 110, 70))
        ink = self.pick((236, 236, 234), (22, 22, 22), (150, 52, 46), (200, 176, 84), (52, 74, 130))
        picture = Image.new("RGBA", (width, height), (0, 0, 0, 0))
        draw = ImageDraw.Draw(picture)
        form = ("disc", "block", "bands", "letters")[self.random.integers(4)]
        if form == "disc":
            draw.ellipse((0, 0, width - 1, height - 1), fill=ground)
            draw.ellipse((width * 0.3, height * 0.3, width * 0.7, height * 0.7), fill=ink)
        elif form == "bands":
            for band in range(3):
                draw.rectangle(
                    (0, height * band // 3, width, height * (band + 1) // 3), fill=(ground, ink, ground)[band]
                )
        else:
            draw.rectangle((0, 0, width - 1, height - 1), fill=ground)
            if form == "letters":
                for letter in range(int(self.random.integers(2, 5))):
                    left = width * (0.1 + 0.22 * letter)
                    draw.rectangle((left, height * 0.25, left + width * 0.13, height * 0.75), fill=ink)
        self.atlas.paste(side, centre, picture)
        return f"{form} #{bytes(ground).hex()}/#{bytes(ink).hex()}"
