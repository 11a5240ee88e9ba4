"""The picture that a vehicle's surfaces take their colours from: five projections of it, and a palette."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.synthetic.vehicles.mesh import Mesh, join

Side = Literal["top", "left", "right", "front", "rear"]
Colour = tuple[int, int, int]
SIDES: Final[tuple[Side, ...]] = ("top", "left", "right", "front", "rear")
_LONGEST_PX: Final = 560
_PX_PER_M: Final = 90.0
_CELL_PX: Final = 8


class Atlas:
    """A picture in sRGB with a chart for each side of the vehicle, as somebody standing there sees it.

    Points on a chart are metres: (x, y) on the top, (x, z) on the left and the right, (y, z) at the front and the rear.
    """

    def __init__(self, length: float, width: float, height: float, paint: Colour) -> None:
        self.scale = min(_PX_PER_M, _LONGEST_PX / length)
        self._half = (length / 2, width / 2, height)
        long, wide, high = (round(extent * self.scale) + 2 for extent in (length, width, height))
        self._corner: dict[Side, tuple[int, int]] = {
            "top": (0, 0),
            "left": (0, wide),
            "right": (0, wide + high),
            "front": (0, wide + 2 * high),
            "rear": (wide, wide + 2 * high),
        }
        self.image = Image.new("RGB", (max(long, 2 * wide), wide + 3 * high + _CELL_PX), paint)
        self.draw = ImageDraw.Draw(self.image)
        self._cells: dict[tuple[int, ...], int] = {}

    def pixels(self, side: Side, points: Iterable[Sequence[float]]) -> list[tuple[float, float]]:
        """Where points in metres lie in the picture."""
        half_length, half_width, height = self._half
        column, row = self._corner[side]
        place: list[tuple[float, float]] = []
        for a, b in points:
            across = {
                "top": a + half_length,
                "left": half_length - a,
                "right": a + half_length,
                "front": a + half_width,
                "rear": half_width - a,
            }[side]
            down = half_width - b if side == "top" else height - b
            place.append((column + 1 + across * self.scale, row + 1 + down * self.scale))
        return place

    def polygon(self, side: Side, points: Iterable[Sequence[float]], colour: Colour) -> None:
        """Fills a polygon."""
        self.draw.polygon(self.pixels(side, points), fill=colour)

    def rectangle(self, side: Side, a: tuple[float, float], b: tuple[float, float], colour: Colour) -> None:
        """Fills a rectangle between two corners."""
        (x0, y0), (x1, y1) = self.pixels(side, (a, b))
        self.draw.rectangle((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), fill=colour)

    def line(self, side: Side, points: Iterable[Sequence[float]], colour: Colour, width_m: float) -> None:
        """Draws a line."""
        self.draw.line(self.pixels(side, points), fill=colour, width=max(1, round(width_m * self.scale)), joint="curve")

    def disc(self, side: Side, centre: tuple[float, float], radius: float, colour: Colour) -> None:
        """Fills a circle."""
        ((x, y),) = self.pixels(side, [centre])
        r = radius * self.scale
        self.draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def paste(self, side: Side, centre: tuple[float, float], picture: Image.Image) -> None:
        """Lays a picture, of the atlas's own scale and with transparency, upon a chart."""
        ((x, y),) = self.pixels(side, [centre])
        self.image.paste(picture, (round(x - picture.width / 2), round(y - picture.height / 2)), picture)

    def shade(self, side: Side, factor: NDArray[np.floating], towards: Colour | None = None) -> None:
        """Multiplies a chart by a picture of factors, or blends it towards a colour by one of shares in 0..1."""
        half_length, half_width, height = self._half
        across = half_length if side in ("top", "left", "right") else half_width
        down = 2 * half_width if side == "top" else height
        column, row = self._corner[side]
        area = (column, row, column + round(2 * across * self.scale) + 2, row + round(down * self.scale) + 2)
        part = np.asarray(self.image.crop(area), np.float32)
        size = (area[2] - area[0], area[3] - area[1])
        scaled = np.asarray(Image.fromarray(factor.astype(np.float32)).resize(size, Image.Resampling.BICUBIC))[
            ..., None
        ]
        part = part * scaled if towards is None else part + (np.array(towards, np.float32) - part) * scaled.clip(0, 1)
        self.image.paste(Image.fromarray(part.clip(0, 255).round().astype(np.uint8)), area[:2])

    def flat(self, mesh: Mesh, colour: Colour) -> Mesh:
        """The mesh in one plain colour."""
        cell = self._cells.setdefault(colour, len(self._cells))
        left, upper = cell * _CELL_PX, self.image.height - _CELL_PX
        self.draw.rectangle((left, upper, left + _CELL_PX, upper + _CELL_PX), fill=colour)
        place = (np.array([left, upper]) + _CELL_PX / 2) / self.image.size
        return replace(mesh, uv=np.broadcast_to(place.astype(np.float32), (len(mesh.points), 2)))

    def graded(self, mesh: Mesh, low: Colour, high: Colour, heights: tuple[float, float]) -> Mesh:
        """The mesh in a colour that changes with the height, between two heights."""
        cell = self._cells.setdefault((*low, *high), len(self._cells))
        left, upper = cell * _CELL_PX, self.image.height - _CELL_PX
        for row in range(_CELL_PX):
            blend = row / (_CELL_PX - 1)
            red, green, blue = (round(a + (b - a) * blend) for a, b in zip(low, high, strict=True))
            self.draw.line((left, upper + row, left + _CELL_PX, upper + row), fill=(red, green, blue))
        share = ((mesh.points[:, 2] - heights[0]) / (heights[1] - heights[0])).clip(0, 1)
        rows = upper + 0.5 + (_CELL_PX - 1) * share
        columns = np.full(len(rows), left + _CELL_PX / 2)
        return replace(mesh, uv=(np.stack([columns, rows], 1) / self.image.size).astype(np.float32))

    def projected(self, mesh: Mesh) -> Mesh:
        """The mesh with each triangle's colours taken from the chart that it faces."""
        facing = mesh.normals[mesh.triangles].mean(1)
        side = np.where(facing[:, 1] > 0, 1, 2)
        along = np.abs(facing[:, 0]) > np.abs(facing[:, 1])
        side[along] = np.where(facing[along, 0] > 0, 3, 4)
        side[facing[:, 2] > 0.5] = 0
        half_length, half_width, height = self._half
        parts = []
        for number in np.unique(side):
            part = mesh.part(side == number)
            x, y, z = part.points.T
            column, row = self._corner[SIDES[number]]
            across = (x + half_length, half_length - x, x + half_length, y + half_width, half_width - y)[number]
            down = half_width - y if number == 0 else height - z
            uv = np.stack([column + 1 + across * self.scale, row + 1 + down * self.scale], 1) / self.image.size
            parts.append(replace(part, uv=uv.astype(np.float32)))
        return join(parts)
