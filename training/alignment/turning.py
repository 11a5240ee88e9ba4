"""A vehicle as a drone of another heading would see it: the frame turned first, then cut, corners masked."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from index.datasets.manifest import Entry, Manifest
from model.box import Box
from model.image import read_image


class Turnable(NamedTuple):
    """A vehicle whose frame can be turned: its circle lies within it.

    Attributes:
        position: of its entry among those that were asked for.
        frame: (H, W, 3) uint8.
        box: clipped to the frame.
    """

    position: int
    frame: NDArray[np.uint8]
    box: Box


def circle_around(box: Box) -> tuple[float, float, float]:
    """The centre and the radius of the smallest circle around a box, in pixels."""
    return box.x + box.w / 2, box.y + box.h / 2, math.hypot(box.w, box.h) / 2


def circle_fits(box: Box, width: int, height: int) -> bool:
    """Whether that circle lies in an image of this size: beyond it nothing is known that could be turned into view."""
    x, y, radius = circle_around(box)
    return radius <= x <= width - radius and radius <= y <= height - radius


def turnable(manifest: Manifest, entries: Sequence[Entry]) -> Iterator[Turnable]:
    """The entries that have a box whose circle lies in its frame, frame by frame; each frame is decoded once.

    Raises:
        ImageError, BoxError, OSError: an image cannot be used.
    """
    path, frame = "", np.zeros((0, 0, 3), np.uint8)
    for position in sorted(range(len(entries)), key=lambda position: entries[position].path):
        entry = entries[position]
        if entry.box is None:
            continue
        if entry.path != path:
            path, frame = entry.path, read_image(manifest.path_of(entry))
        height, width, _ = frame.shape
        box = entry.box.clip(width, height)
        if circle_fits(box, width, height):
            yield Turnable(position, frame, box)


def turned_views(
    frame: NDArray[np.uint8], box: Box, turns_deg: Sequence[float], size_px: int, fill: Sequence[float]
) -> NDArray[np.uint8]:
    """The circle around a box, turned.

    A round view has no corners, and its outline is the same however the frame is turned: only what is in the picture
    tells the turn. Square pixels stay square.

    Args:
        frame: (H, W, 3).
        box: the vehicle; its circle lies within the frame (`circle_fits`).
        turns_deg: T turns of the content, counter-clockwise.
        size_px: side of the views.
        fill: (3,) colour outside the circle, in 0..1.

    Returns:
        (T, size, size, 3).
    """
    x, y, radius = circle_around(box)
    scale = 2 * radius / size_px
    # One pixel more on each side, for the interpolation at the circle's edge.
    left, top = max(0, math.floor(x - radius * 1.5)), max(0, math.floor(y - radius * 1.5))
    part = frame[top : math.ceil(y + radius * 1.5), left : math.ceil(x + radius * 1.5)]
    shrink = max(1, math.floor(scale))  # bicubic looks at four pixels: what is much larger is averaged first
    image = Image.fromarray(part).reduce(shrink) if shrink > 1 else Image.fromarray(part)
    offset = (np.arange(size_px) + 0.5) / size_px * 2 - 1
    outside = offset[None, :] ** 2 + offset[:, None] ** 2 > 1
    colour = np.round(np.asarray(fill) * 255).astype(np.uint8)
    views = []
    for turn in turns_deg:
        cos, sin = math.cos(math.radians(turn)) * scale, math.sin(math.radians(turn)) * scale
        # Output pixels to input pixels; rows point down, so that a counter-clockwise turn of the content is this one.
        middle = size_px / 2
        a, b, c = cos, -sin, (x - left) - (cos - sin) * middle
        d, e, f = sin, cos, (y - top) - (sin + cos) * middle
        matrix = tuple(value / shrink for value in (a, b, c, d, e, f))
        view = np.array(image.transform((size_px, size_px), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC))
        view[outside] = colour
        views.append(view)
    return np.stack(views)
