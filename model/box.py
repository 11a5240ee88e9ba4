"""A vehicle's box in the upright image, in whole pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model.number import decimal_number

MIN_SIDE_PX = 4
"""Below this nothing of a vehicle is left to recognise."""

_MIN_INSIDE = 0.5


class BoxError(ValueError):
    """A box that cannot be read, or that does not lie on the image; the message says what to send instead."""


@dataclass(frozen=True, slots=True)
class Box:
    """x, y of the top left corner, width and height, in pixels of the image after its EXIF orientation."""

    x: int
    y: int
    w: int
    h: int

    @classmethod
    def parse(cls, value: str | Sequence[object]) -> Self:
        """``"x,y,w,h"`` or four numbers; fractions go to the nearest pixel edge.

        Raises:
            BoxError: not four finite numbers, or no area.
        """
        try:
            x, y, w, h = (_finite(number) for number in (value.split(",") if isinstance(value, str) else value))
        except (ValueError, TypeError, OverflowError):
            raise BoxError(f"a box is four numbers x,y,w,h in pixels, not {_shorten(value)}") from None
        if w <= 0 or h <= 0:
            raise BoxError(f"a box needs a width and a height above 0, not {_shorten(value)}")
        left, top = round(x), round(y)
        return cls(left, top, round(x + w) - left, round(y + h) - top)

    def clip(self, width: int, height: int) -> "Box":
        """The part inside an image of this size. Detectors overshoot the border by some pixels; that is cut off.

        Raises:
            BoxError: less than half of the box lies inside (the box is of another image or another scale), or
                what is left is under `MIN_SIDE_PX` on a side.
        """
        left, top = max(self.x, 0), max(self.y, 0)
        right, bottom = min(self.x + self.w, width), min(self.y + self.h, height)
        inside = max(right - left, 0) * max(bottom - top, 0)
        if inside < _MIN_INSIDE * self.w * self.h:
            raise BoxError(
                f"the box {self} lies {'outside' if not inside else 'mostly outside'} the image of {width} x {height} "
                "pixels: give x,y,w,h in pixels of the upright image"
            )
        if right - left < MIN_SIDE_PX or bottom - top < MIN_SIDE_PX:
            raise BoxError(f"the box {self} covers less than {MIN_SIDE_PX} x {MIN_SIDE_PX} pixels of the image")
        return Box(left, top, right - left, bottom - top)

    def cut(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The crop (h, w, 3) of an image (H, W, 3); the box must have been clipped to it."""
        return image[self.y : self.y + self.h, self.x : self.x + self.w]

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.w},{self.h}"


def _finite(number: object) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float | str):
        raise TypeError
    value = decimal_number(number.strip(" ")) if isinstance(number, str) else float(number)
    # A bound well past any image, so that sums and areas stay exact.
    if not math.isfinite(value) or abs(value) > 1e9:
        raise ValueError
    return value


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
