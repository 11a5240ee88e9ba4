"""How well a calibration keeps its promises, on vehicles that it was not fitted to."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.calibration.calibration import MATCH_FAR, UNCERTAIN_FAR, Calibration
from index.calibration.fitting import evidence_of_trials, nearest_size
from index.calibration.trials import Trials, concatenate
from index.ranking.bootstrap import interval, resampled_means

NUM_BINS: Final = 15
"""Of the reliability diagram, each with the same weight of answers."""

_ROC_RATES: Final = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


class Judged(NamedTuple):
    """Trials, and what a calibration that does not know their vehicles says of them.

    Attributes:
        probability: (T, K) of each match.
        match_distance, uncertain_distance: (T,) the thresholds that hold for each trial.
    """

    trials: Trials
    probability: NDArray[np.float64]
    match_distance: NDArray[np.float64]
    uncertain_distance: NDArray[np.float64]


def judge(calibration: Calibration, trials: Trials) -> Judged:
    """What the calibration says of each trial."""
    return Judged(
        trials,
        calibration.probability(evidence_of_trials(trials)),
        calibration.distances_at(calibration.match_distance, trials.num_searched),
        calibration.distances_at(calibration.uncertain_distance, trials.num_searched),
    )


def pool(parts: Sequence[Judged]) -> Judged:
    """All of them, one behind the other."""
    trials, *others = zip(*parts, strict=True)
    return Judged(concatenate(trials), *map(np.concatenate, others))


def error_figures(judged: Judged, sizes: tuple[int, ...], unknown_share: float) -> dict[str, Any]:
    """JSON values of each gallery size; intervals are over vehicles.

    All are of rank 1 but ``ece_matches``, which is of the other vehicles among the first matches. ``false_accepts`` are
    unknown vehicles that are called so, ``true_accepts`` known ones whose rank 1 is right and called so,
    ``wrong_accepts`` known ones whose rank 1 is wrong and called so: shares, each with its interval.
    """
    of_size = nearest_size(judged.trials, sizes)
    return {
        "unknown_share": unknown_share,
        "sizes": [
            {"num_records": size, **_of_size(judged, of_size == number, unknown_share)}
            for number, size in enumerate(sizes)
            if (of_size == number).any()
        ],
    }


def _of_size(judged: Judged, chosen: NDArray[np.bool], unknown_share: float) -> dict[str, Any]:
    trials, probability = judged.trials.where(chosen), judged.probability[chosen]
    nearest, is_right, is_known = trials.distance[:, 0], trials.is_right[:, 0], trials.is_known
    accepted = {
        "match": (MATCH_FAR, nearest <= judged.match_distance[chosen]),
        "match_or_uncertain": (UNCERTAIN_FAR, nearest <= judged.uncertain_distance[chosen]),
    }
    weight = _weights(is_known, unknown_share)
    reliability = reliability_diagram(probability[:, 0], is_right, weight)
    later = evidence_of_trials(trials).is_nearest
    later[:, 0] = False
    of_matches = reliability_diagram(
        probability[later], trials.is_right[later], np.broadcast_to(weight[:, np.newaxis], later.shape)[later]
    )
    return {
        "num_unknown": int(np.sum(~is_known)),
        "num_unknown_vehicles": len(np.unique(trials.vehicle[~is_known])),
        "num_known": int(np.sum(is_known)),
        "num_known_vehicles": len(np.unique(trials.vehicle[is_known])),
        "rank1_of_known": _share(is_right, is_known, trials.vehicle),
        "decisions": {
            name: {
                "promised": promised,
                "false_accepts": _share(is_accepted, ~is_known, trials.vehicle),
                "true_accepts": _share(is_accepted & is_right, is_known, trials.vehicle),
                "wrong_accepts": _share(is_accepted & ~is_right, is_known, trials.vehicle),
            }
            for name, (promised, is_accepted) in accepted.items()
        },
        "ece": expected_calibration_error(reliability),
        "ece_matches": expected_calibration_error(of_matches),
        "reliability": [{"probability": p, "right": r, "share": s} for p, r, s in reliability.tolist()],
        "roc": _roc(nearest, is_right, is_known),
    }


def reliability_diagram(
    probability: NDArray[np.float64], is_right: NDArray[np.bool], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(B, 3): of each bin of answers by rising probability, the mean of it, the share that is right, and its weight."""
    order = np.argsort(probability, kind="stable")
    probability, right, weight = probability[order], is_right[order].astype(np.float64), weight[order]
    weight = weight / weight.sum()
    # An answer lies in the bin in which the middle of its weight lies.
    bins = np.minimum(((np.cumsum(weight) - weight / 2) * NUM_BINS).astype(int), NUM_BINS - 1)
    sums = np.stack([np.bincount(bins, values, NUM_BINS) for values in (probability * weight, right * weight, weight)])
    sums = sums[:, sums[2] > 0]
    return np.stack([sums[0] / sums[2], sums[1] / sums[2], sums[2]], axis=1)


def expected_calibration_error(reliability: NDArray[np.float64]) -> float:
    """The mean gap between probability and truth over the bins of a reliability diagram (Naeini et al., 2015)."""
    return float(np.sum(np.abs(reliability[:, 0] - reliability[:, 1]) * reliability[:, 2]))


def _weights(is_known: NDArray[np.bool], unknown_share: float) -> NDArray[np.float64]:
    """Of each trial, so that this share of all weight is that of unknown vehicles."""
    num_known = int(np.sum(is_known))
    num_unknown = len(is_known) - num_known
    return np.where(is_known, (1 - unknown_share) / max(1, num_known), unknown_share / max(1, num_unknown))


def _share(holds: NDArray[np.bool], among: NDArray[np.bool], vehicle: NDArray[np.int64]) -> dict[str, Any] | None:
    if not among.any():
        return None
    means = resampled_means(holds[among, np.newaxis], [str(number) for number in vehicle[among].tolist()])
    return {"share": float(holds[among].mean()), "interval": list(interval(means[:, 0]))}


def _roc(
    nearest: NDArray[np.float64], is_right: NDArray[np.bool], is_known: NDArray[np.bool]
) -> list[dict[str, float]]:
    """The share of known vehicles found right at rank 1, at several rates of accepted unknown ones."""
    if not is_known.any() or is_known.all():
        return []
    distances = np.quantile(nearest[~is_known], _ROC_RATES)
    return [
        {"false_accepts": rate, "true_accepts": float(np.mean((nearest <= distance)[is_known] & is_right[is_known]))}
        for rate, distance in zip(_ROC_RATES, distances.tolist(), strict=True)
    ]
