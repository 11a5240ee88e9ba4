"""Fits a calibration to answers whose truth is known."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.calibration.calibration import (
    MATCH_FAR,
    UNCERTAIN_FAR,
    Calibration,
    CalibrationError,
    terms,
)
from index.calibration.evidence import Evidence, evidence_of
from index.calibration.logistic_regression import fit_logistic_regression
from index.calibration.trials import Trials

UNKNOWN_SHARE: Final = 0.5

_PENALTY: Final = 1e-5
_MIN_VEHICLES: Final = 30
_TAIL: Final = 1e-3


def fit_calibration(
    trials: Trials, sizes: tuple[int, ...], fitted_on: dict[str, Any], step: Callable[[], object] = lambda: None
) -> Calibration:
    """Fits to trials of galleries of these sizes.

    Args:
        trials: of every size alike.
        sizes: rising.
        fitted_on: where the vehicles come from, for the reader.
        step: called again and again; what it raises ends it.

    Raises:
        CalibrationError: there are too few trials, or none of unknown or known vehicles.
    """
    of_size = nearest_size(trials, sizes)
    thresholds = []
    for number, size in enumerate(sizes):
        is_unknown = (of_size == number) & ~trials.is_known
        unknown = trials.distance[is_unknown, 0]
        if (num := len(np.unique(trials.vehicle[is_unknown]))) < _MIN_VEHICLES:
            raise CalibrationError(
                f"galleries of {size} were asked for {num} unknown vehicles: at least {_MIN_VEHICLES} are needed"
            )
        thresholds.append(np.quantile(unknown, [MATCH_FAR, UNCERTAIN_FAR]))
    match_distance, uncertain_distance = np.minimum.accumulate(thresholds, axis=0).T
    if not trials.is_known.any():
        raise CalibrationError("no vehicle was in the gallery: nothing is known about right answers")
    evidence = evidence_of_trials(trials)
    limits = (_limits(evidence.distance[evidence.is_nearest]), _limits(evidence.margin[evidence.is_nearest]))
    return Calibration(
        sizes=sizes,
        match_distance=tuple(match_distance.tolist()),
        uncertain_distance=tuple(uncertain_distance.tolist()),
        limits=limits,
        weights=_fit_weights(trials, evidence, limits, sizes, of_size, step),
        unknown_share=UNKNOWN_SHARE,
        fitted_on=fitted_on,
    )


def evidence_of_trials(trials: Trials) -> Evidence:
    """The evidence (T, K) that the answers show."""
    return evidence_of(trials.distance, trials.match, trials.num_searched.astype(np.float64))


def nearest_size(trials: Trials, sizes: tuple[int, ...]) -> NDArray[np.int64]:
    """Which of the sizes (T,) each trial's gallery had; leaving a vehicle out has made it a little smaller."""
    gaps = np.abs(np.log(trials.num_searched)[:, np.newaxis] - np.log(sizes))
    return np.asarray(gaps.argmin(axis=1))


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, [_TAIL, 1 - _TAIL])
    return float(low), float(high)


def _fit_weights(
    trials: Trials,
    evidence: Evidence,
    limits: tuple[tuple[float, float], tuple[float, float]],
    sizes: tuple[int, ...],
    of_size: NDArray[np.int64],
    step: Callable[[], object],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Multinomial logistic regression with a small ridge penalty; every size counts alike.

    Of the matches of one vehicle the nearest counts, so that at most one of an answer is right.
    """
    outcome = np.where(trials.is_right, 0, np.where(trials.is_known[:, np.newaxis], 1, 2))[evidence.is_nearest]
    nearest = evidence.is_nearest
    x = terms(
        Evidence(
            evidence.distance[nearest], evidence.margin[nearest], evidence.num_searched[nearest], nearest[nearest]
        ),
        limits,
        sizes,
    )
    num_of = np.array(
        [[np.sum((of_size == n) & (trials.is_known == k)) for k in (False, True)] for n in range(len(sizes))]
    )
    of_trial = 1 / np.maximum(1, num_of)[of_size, trials.is_known.astype(int)]
    # Rank 1 is what is decided on: it counts as much as all others together.
    of_rank = np.full(trials.distance.shape[1], 1 / max(1, trials.distance.shape[1] - 1))
    of_rank[0] = 1
    weight = (of_trial[:, np.newaxis] * of_rank)[evidence.is_nearest]
    weight /= weight.sum()
    try:
        right, wrong = fit_logistic_regression(np.ascontiguousarray(x.T), outcome, weight, 3, _PENALTY, step).tolist()
    except ValueError as error:
        raise CalibrationError(f"the fit failed: {error}") from error
    return tuple(right), tuple(wrong)
