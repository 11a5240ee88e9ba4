"""A picture of the ground seen from straight above, laid out in metres: its colours, or where shadow falls."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import map_coordinates
from scipy.spatial import ConvexHull

Array = NDArray[np.floating]


class Plan:
    """An area of the ground plane, as a picture that can be drawn upon and looked up.

    Args:
        lower, upper: corners in metres; x to the right, y up.
        px_per_m: the picture's scale.
        mode: Pillow's, ``RGB`` or ``L``.
        colour: all over.
    """

    def __init__(self, lower: Array, upper: Array, px_per_m: float, mode: str, colour: Any) -> None:
        self.lower, self.px_per_m = np.asarray(lower, np.float64), px_per_m
        extent = np.maximum(np.ceil((np.asarray(upper) - self.lower) * px_per_m), 4).astype(int)
        self.image = Image.new(mode, (int(extent[0]), int(extent[1])), colour)
        self.draw = ImageDraw.Draw(self.image)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.image.height, self.image.width

    def pixels(self, points: Array) -> list[tuple[float, float]]:
        """Points in metres, (N, 2), as pixels."""
        place = (np.asarray(points, np.float64) - self.lower) * self.px_per_m
        return [(float(x), float(self.image.height - y)) for x, y in place]

    def polygon(self, points: Array, colour: Any) -> None:
        """Fills a polygon given in metres."""
        self.draw.polygon(self.pixels(points), fill=colour)

    def strip(self, start: Array, end: Array, width_m: float, colour: Any) -> None:
        """Draws a line with square ends."""
        start, end = np.asarray(start, float), np.asarray(end, float)
        along = (end - start) / max(float(np.linalg.norm(end - start)), 1e-9)
        aside = np.array([-along[1], along[0]]) * width_m / 2
        self.polygon(np.array([start + aside, end + aside, end - aside, start - aside]), colour)

    def hulls(self, pieces: Iterable[Array], colour: Any) -> None:
        """Fills the convex hull of each set of points."""
        for piece in pieces:
            self.polygon(piece[ConvexHull(piece).vertices], colour)

    def blurred(self, sigma_m: float) -> Image.Image:
        """The picture out of focus."""
        return self.image.filter(ImageFilter.GaussianBlur(max(0.0, sigma_m * self.px_per_m)))

    def look_up(self, picture: NDArray[np.float32], points: NDArray[np.float32]) -> NDArray[np.float32]:
        """A picture of this plan's size, (H, W) or (H, W, C), at points in metres (..., 2); at its edge beyond it."""
        columns = (points[..., 0] - np.float32(self.lower[0])) * np.float32(self.px_per_m) - 0.5
        rows = self.image.height - (points[..., 1] - np.float32(self.lower[1])) * np.float32(self.px_per_m) - 0.5
        layers = picture[..., None] if picture.ndim == 2 else picture
        found = [
            map_coordinates(layers[..., channel], [rows, columns], np.float32, order=1, mode="nearest", prefilter=False)
            for channel in range(layers.shape[2])
        ]
        return found[0] if picture.ndim == 2 else np.stack(found, -1)
