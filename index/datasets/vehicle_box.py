"""Where a vehicle is in its image: one rule for queries, enrolments by HTTP or in bulk, training and evaluation."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.box import Box

CROP_SIDE_PX: Final = 800
"""A vehicle crop has no longer side; an image that has, and no box, is likely a frame."""

SMALL_SIDE_PX: Final = 20
"""A vehicle whose longer side is shorter has too few pixels to be told from others reliably."""

_CLIPPED_SHARE: Final = 0.25


def locate_box(given: Box | str | Sequence[float] | None, pixels: NDArray[np.uint8]) -> tuple[Box, tuple[str, ...]]:
    """The box of a vehicle on an image (H, W, 3), clipped to it, and what is suspicious about it.

    Raises:
        BoxError: no box, or one that lies on the image by less than half, or too little of it is left.
    """
    height, width, _ = pixels.shape
    warnings = []
    if given is None:
        box = Box(0, 0, width, height)
        if max(width, height) > CROP_SIDE_PX:
            warnings.append(
                f"the whole image of {width} x {height} pixels was taken for one vehicle: if it is a frame, give a box"
            )
    else:
        asked = given if isinstance(given, Box) else Box.parse(given)
        box = asked.clip(width, height)
        share = 1 - box.w * box.h / (asked.w * asked.h)
        if share >= _CLIPPED_SHARE:
            warnings.append(
                f"{share:.0%} of the box {asked} lie outside the image of {width} x {height} pixels and were cut off"
            )
    if max(box.w, box.h) < SMALL_SIDE_PX:
        warnings.append(
            f"the vehicle has only {box.w} x {box.h} pixels: below {SMALL_SIDE_PX} its matches are little more than "
            "guesses"
        )
    return box, tuple(warnings)
