"""The rectangle of degrees around a circle on the ground: what a database can compare."""

import math
from typing import Final, NamedTuple

from index.gallery.circle import check_circle
from index.gallery.filters import Near, distance_m

_EARTH_RADIUS_M: Final = distance_m(0, 0, 0, 180) / math.pi

# A metre: many times what is rounded away of degrees and radians.
_SLACK_DEG: Final = 1e-5


class BoundingBox(NamedTuple):
    """Degrees of latitude from `south` to `north`, and of longitude in any of the ranges (west, east)."""

    south: float
    north: float
    longitudes: tuple[tuple[float, float], ...]


def bounding_box(near: Near) -> BoundingBox:
    """A box that no place within the circle lies outside of; places outside the circle may lie in it.

    Raises:
        ValueError: as `check_circle`.
    """
    check_circle(near)
    angle = min(max(near.radius_m, 0) / _EARTH_RADIUS_M, math.pi)
    south = near.latitude - math.degrees(angle) - _SLACK_DEG
    north = near.latitude + math.degrees(angle) + _SLACK_DEG
    if south <= -90 or north >= 90:  # the circle holds a pole: all longitudes
        return BoundingBox(south, north, ((-180, 180),))
    # Where a meridian touches the circle: the right angle lies there.
    half = math.degrees(math.asin(min(1, math.sin(angle) / math.cos(math.radians(near.latitude))))) + _SLACK_DEG
    west, east = near.longitude - half, near.longitude + half
    if east - west >= 360:
        return BoundingBox(south, north, ((-180, 180),))
    if west < -180:
        return BoundingBox(south, north, ((-180, east), (west + 360, 180)))
    if east > 180:
        return BoundingBox(south, north, ((west, 180), (-180, east - 360)))
    return BoundingBox(south, north, ((west, east),))
