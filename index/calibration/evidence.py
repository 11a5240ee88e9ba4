"""What an answer itself shows of whether its matches are right: their distances, and how they stand to each other."""

from collections.abc import Hashable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

DEPTH: Final = 10
"""How many of the nearest records are looked at, however many were asked for."""


class Evidence(NamedTuple):
    """Of each of the first matches of answers: (..., K) each. Matches of one vehicle have the evidence of the nearest.

    Attributes:
        distance: Euclidean.
        margin: how much nearer the vehicle is than the nearest other one; negative if it is farther. Where all `DEPTH`
            matches are of one vehicle, the farthest of them stands for the other.
        num_searched: records among which the answer was looked for.
        is_nearest: whether the match is the nearest of its vehicle.
    """

    distance: NDArray[np.float64]
    margin: NDArray[np.float64]
    num_searched: NDArray[np.float64]
    is_nearest: NDArray[np.bool]


def evidence_of(
    distances: NDArray[np.float64], groups: NDArray[np.int64], num_searched: NDArray[np.float64]
) -> Evidence:
    """The evidence of answers with K matches each.

    Args:
        distances: (..., K), rising; infinite where there are no more matches.
        groups: (..., K), equal numbers for records of the same identity; a record without one has a number of its own.
        num_searched: (...).
    """
    is_there = np.isfinite(distances)
    nearest_of_vehicle = np.argmax(groups[..., :, np.newaxis] == groups[..., np.newaxis, :], axis=-1)
    is_of_rank1 = nearest_of_vehicle == 0
    # So that rank 1 means the same however many matches were asked for.
    first = np.s_[..., :DEPTH]
    farthest = np.max(distances[first], axis=-1, where=is_there[first], initial=0.0, keepdims=True)
    others = is_there[first] & ~is_of_rank1[first]
    other = np.min(distances[first], axis=-1, where=others, initial=np.inf, keepdims=True)
    next_vehicle = np.where(np.isfinite(other), other, farthest)
    distance = np.take_along_axis(distances, nearest_of_vehicle, axis=-1)
    return Evidence(
        distance,
        np.where(is_of_rank1, next_vehicle, distances[..., :1]) - distance,
        np.broadcast_to(num_searched[..., np.newaxis], distances.shape),
        is_there & (nearest_of_vehicle == np.arange(distances.shape[-1])),
    )


def group_numbers(identities: Sequence[Hashable | None]) -> NDArray[np.int64]:
    """A number for each record: equal for equal identities, and one of its own for a record without."""
    numbers: dict[Hashable, int] = {}
    return np.array(
        [numbers.setdefault(object() if name is None else name, len(numbers)) for name in identities], np.int64
    )
