"""Which of many places lie within a circle on the ground, exactly as `distance_m` decides it."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.gallery.filters import Near, distance_m

_EARTH_RADIUS_M: Final = distance_m(0, 0, 0, 180) / math.pi

# Places at once: what lies between two steps of the formula stays in the cache, and in memory that malloc keeps: from
# 128 KiB on it may ask the system for every array, which takes longer than the formula.
_CHUNK: Final = 8192

# How far half a chord as calculated below, in float32, may lie from that of `distance_m`, in float64. At most forty
# roundings of 2**-24 each add up in its square (a sine that is right to 4 units in the last place counts as eight),
# half of that in itself: 1.2e-6. The second figure is ten times what float64 rounds away of the degrees.
_RELATIVE_ERROR: Final = 2e-6
_ABSOLUTE_ERROR: Final = 1e-14


def check_circle(near: Near) -> None:
    """Whether it is a circle.

    Raises:
        ValueError: a centre that is no place on Earth, or a radius that is not a number.
    """
    if not (abs(near.latitude) <= 90 and abs(near.longitude) <= 180) or math.isnan(near.radius_m):
        raise ValueError(f"a circle needs a place on Earth in degrees and a radius in metres, got {near}")


def within_circle(latitude: NDArray[np.float64], longitude: NDArray[np.float64], near: Near) -> NDArray[np.bool_]:
    """For each place (N,) in degrees, NaN where there is none: ``distance_m(.., near) <= near.radius_m``.

    The haversine formula in float32 decides nearly all places. `distance_m` itself decides those that are within
    rounding of the radius (2e-6 of it), and in each chunk of `_CHUNK` rows it decides a place only once.

    Raises:
        ValueError: as `check_circle`.
    """
    check_circle(near)
    within = np.empty(len(latitude), np.bool_)
    for start in range(0, len(latitude), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        within[chunk] = _within(latitude[chunk], longitude[chunk], near)
    return within


def _within(latitude: NDArray[np.float64], longitude: NDArray[np.float64], near: Near) -> NDArray[np.bool_]:
    # Of a sphere with radius 1, the half of the chord as long as the circle's radius.
    half_chord = math.sin(min(max(near.radius_m / _EARTH_RADIUS_M, 0), math.pi) / 2)
    surely_within = half_chord * (1 - _RELATIVE_ERROR) - _ABSOLUTE_ERROR
    perhaps_within = half_chord * (1 + _RELATIVE_ERROR) + _ABSOLUTE_ERROR

    squared = _squared_half_chords(latitude, longitude, near)
    within: NDArray[np.bool_] = (squared <= surely_within**2) & (surely_within >= 0)
    undecided = np.flatnonzero((squared <= perhaps_within**2) & ~within)
    if len(undecided):
        # A place as one complex number: np.unique sorts those, and looks at both parts.
        places, place_of = np.unique(latitude[undecided] + 1j * longitude[undecided], return_inverse=True)
        distances = [distance_m(place.real, place.imag, near.latitude, near.longitude) for place in places.tolist()]
        within[undecided] = (np.array(distances) <= near.radius_m)[place_of]
    return within


def _squared_half_chords(
    latitude: NDArray[np.float64], longitude: NDArray[np.float64], near: Near
) -> NDArray[np.float32]:
    """The haversine of the angle between each place and the centre (N,), whose relative error is float32's.

    Differences are taken in float64, of the shorter way around the Earth and of the latitude to the pole: no digit is
    lost where they are small.
    """
    between_latitudes = _radians(latitude - near.latitude)
    turn = np.abs(longitude - near.longitude)
    between_longitudes = _radians(np.minimum(turn, 360 - turn))
    to_pole = _radians(90 - np.abs(latitude))
    cosines = np.sin(to_pole) * np.float32(math.sin(math.radians(90 - abs(near.latitude))))
    squared: NDArray[np.float32] = (
        np.square(np.sin(between_latitudes / 2)) + np.square(np.sin(between_longitudes / 2)) * cosines
    )
    return squared


def _radians(degrees: NDArray[np.float64]) -> NDArray[np.float32]:
    radians: NDArray[np.float32] = np.multiply(degrees, math.pi / 180, dtype=np.float32, casting="same_kind")
    return radians
