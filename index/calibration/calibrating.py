"""Calibrates a model on vehicles that are known, and measures the calibration on those that it was not fitted to."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.calibration.calibration import Calibration, CalibrationError
from index.calibration.error_figures import error_figures, judge, pool
from index.calibration.fitting import fit_calibration
from index.calibration.trials import Trials, Vehicles, concatenate, draw_trials

SIZES: Final = (10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)
"""Records in the galleries that are drawn, as far as there are so many; and one of all of them."""

NUM_QUERIES: Final = 10_000
"""Of each gallery size."""

_NUM_FOLDS: Final = 2
_MUCH_LARGER: Final = 1.5
_MIN_VEHICLES: Final = 100


def calibrate(
    vehicles: Vehicles,
    fitted_on: dict[str, Any],
    *,
    sizes: tuple[int, ...] | None = None,
    num_queries: int = NUM_QUERIES,
    seed: int = 0,
    step: Callable[[], object] = lambda: None,
) -> Calibration:
    """The calibration of all vehicles, with the error figures of cross-fitting.

    The vehicles are divided in two. What is measured of one half is said by a calibration that was fitted to the
    queries of the other. Each half's galleries are drawn from its own vehicles; those that are too large for a half,
    from all, so that a pair of vehicles may have been seen from the other side.

    Args:
        vehicles: at least a hundred, some of them with several crops.
        fitted_on: where they come from, for the reader.
        sizes: of the galleries, rising; by default those of `SIZES` that can be drawn, and all crops together.
        num_queries: of each size and half.
        seed: of all draws.
        step: called before each part of the work; what it raises ends it.

    Raises:
        CalibrationError: there are too few vehicles, or none of them is there twice.
    """
    num_crops, num_vehicles = int(vehicles.may_answer.sum()), len(np.unique(vehicles.identity))
    if num_vehicles < _MIN_VEHICLES:
        raise CalibrationError(
            f"there are {num_vehicles} vehicles with a known identity: a calibration needs at least {_MIN_VEHICLES}"
        )
    if sizes is None:
        sizes = (*(size for size in SIZES if _MUCH_LARGER * size <= num_crops), num_crops)
    if too_large := [size for size in sizes if size > num_crops]:
        raise CalibrationError(f"a gallery of {too_large[0]} records cannot be drawn from {num_crops} crops")
    fold = _folds(vehicles.identity, seed)
    trials = [
        _trials_of(vehicles, fold == number, sizes, num_queries, (seed, number), step) for number in range(_NUM_FOLDS)
    ]
    judged = []
    for number in range(_NUM_FOLDS):
        others = concatenate([of_fold for other, of_fold in enumerate(trials) if other != number])
        step()
        judged.append(judge(fit_calibration(others, sizes, {}, step), trials[number]))
    calibration = fit_calibration(concatenate(trials), sizes, fitted_on, step)
    return replace(calibration, measured=error_figures(pool(judged), sizes, calibration.unknown_share))


def _trials_of(
    vehicles: Vehicles,
    is_of_fold: NDArray[np.bool],
    sizes: tuple[int, ...],
    num_queries: int,
    seed: tuple[int, ...],
    step: Callable[[], object],
) -> Trials:
    asking = replace(vehicles, may_ask=vehicles.may_ask & is_of_fold)
    apart = replace(asking, may_answer=asking.may_answer & is_of_fold)
    num_apart = int(apart.may_answer.sum())
    small, large = [size for size in sizes if size <= num_apart], [size for size in sizes if size > num_apart]
    return concatenate(
        [draw_trials(of, some, num_queries, seed, step) for of, some in ((apart, small), (asking, large)) if some]
    )


def _folds(identity: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Of each crop the half of its vehicle, by a hash of its number."""
    folds = {
        number: hashlib.sha256(f"{seed} {number}".encode()).digest()[0] % _NUM_FOLDS
        for number in np.unique(identity).tolist()
    }
    return np.array([folds[number] for number in identity.tolist()])
