"""What a distance means: the probability that a match is the vehicle asked for, and a decision with a promised error.

The probability is that of a multinomial logistic regression on the `Evidence`, with three outcomes: the match is
right; it is wrong though the vehicle is in the gallery; the vehicle is not there at all. So the share of unknown
vehicles among the queries, which nobody knows at fitting time, can be changed afterwards (Saerens et al., 2002): the
odds of the third outcome change in proportion, and nothing else does.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from index.calibration.evidence import Evidence

FORMAT: Final = "sanet-calibration-1"

Decision = Literal["match", "uncertain", "no_match", "uncalibrated"]

_FEW_MORE: Final = 1.1

MATCH_FAR: Final = 0.001
"""Of unknown vehicles, at most so many are called a match."""

UNCERTAIN_FAR: Final = 0.01
"""Of unknown vehicles, at most so many are called a match or uncertain."""


class CalibrationError(ValueError):
    """A calibration that is damaged, of another format, or that cannot be fitted."""


@dataclass(frozen=True)
class Calibration:
    """Fitted to one model on galleries of some sizes; it says nothing about larger ones.

    Attributes:
        sizes: records in the galleries, rising.
        match_distance, uncertain_distance: at each size, the distance of rank 1 below which `MATCH_FAR` and
            `UNCERTAIN_FAR` of the unknown vehicles' queries lie.
        limits: ((lowest, highest) distance, (lowest, highest) margin) that were seen: beyond, nothing changes.
        weights: (2, F) of right, and of wrong though known; those of unknown are 0. See `terms`.
        unknown_share: of the queries, assumed.
        fitted_on: where it comes from, for the reader.
        measured: error figures on vehicles that it was not fitted to; empty if there are none.
    """

    sizes: tuple[int, ...]
    match_distance: tuple[float, ...]
    uncertain_distance: tuple[float, ...]
    limits: tuple[tuple[float, float], tuple[float, float]]
    weights: tuple[tuple[float, ...], tuple[float, ...]]
    unknown_share: float
    fitted_on: dict[str, Any]
    measured: dict[str, Any] = field(default_factory=dict)

    def covers(self, num_searched: int) -> bool:
        """Whether it says anything about answers from so many records: up to a few more than it was fitted to.

        As many more records have as many more false accepts: of 1 % they make 1.1 %.
        """
        return 1 <= num_searched <= self.largest_gallery

    @property
    def largest_gallery(self) -> int:
        """Of so many records and no more it says anything."""
        return int(_FEW_MORE * self.sizes[-1])

    def decide(self, nearest: float, num_searched: int) -> Decision:
        """What to believe of an answer whose rank 1 is so far away."""
        if not self.covers(num_searched):
            return "uncalibrated"
        if nearest <= self.distance_at(self.match_distance, num_searched):
            return "match"
        return "uncertain" if nearest <= self.distance_at(self.uncertain_distance, num_searched) else "no_match"

    def distance_at(self, distances: tuple[float, ...], num_searched: int) -> float:
        """Between the sizes, linear in the logarithm of the number of records; below them, as at the smallest."""
        return float(self.distances_at(distances, np.array(num_searched)))

    def distances_at(self, distances: tuple[float, ...], num_searched: NDArray[np.int64]) -> NDArray[np.float64]:
        """`distance_at`, for many numbers of records (...)."""
        return np.asarray(np.interp(np.log(num_searched), np.log(self.sizes), distances))

    def probability(self, evidence: Evidence, unknown_share: float | None = None) -> NDArray[np.float64]:
        """(..., K) that each match is the vehicle asked for, if this share of the queries is of unknown vehicles."""
        share = self.unknown_share if unknown_share is None else unknown_share
        x = terms(evidence, self.limits, self.sizes)
        right, wrong = np.moveaxis(x @ np.array(self.weights).T, -1, 0)
        with np.errstate(divide="ignore"):  # a share of 0 or 1 is allowed
            log_odds = np.log([(1 - share) / (1 - self.unknown_share), share / self.unknown_share])
        parts = np.stack([right + log_odds[0], wrong + log_odds[0], np.full_like(right, log_odds[1])])
        parts = np.exp(parts - parts.max(axis=0))
        return np.asarray(parts[0] / parts.sum(axis=0))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """What `to_dict` gave.

        Raises:
            CalibrationError: it is something else.
        """
        found = values.get("format") if isinstance(values, Mapping) else None
        if found != FORMAT:
            raise CalibrationError(f"a calibration has the format {FORMAT}, not {found!r}: calibrate again")
        try:
            sizes = tuple(int(size) for size in values["sizes"])
            thresholds = [tuple(map(float, values[name])) for name in ("match_distance", "uncertain_distance")]
            limits = np.array(values["limits"], np.float64)
            weights = np.array(values["weights"], np.float64)
            share = float(values["unknown_share"])
            fitted_on, measured = dict(values["fitted_on"]), dict(values["measured"])
        except (KeyError, TypeError, ValueError) as error:
            raise CalibrationError(f"the calibration is damaged ({error}): calibrate again") from None
        is_sound = (
            sizes and list(sizes) == sorted(set(sizes)) and sizes[0] >= 1
            and all(len(values) == len(sizes) for values in thresholds)
            and limits.shape == (2, 2) and weights.shape == (2, NUM_TERMS)
            and np.isfinite(weights).all() and np.isfinite(limits).all() and np.isfinite(np.array(thresholds)).all()
            and 0 < share < 1
        )  # fmt: skip
        if not is_sound:
            raise CalibrationError("the calibration is damaged (its numbers do not fit): calibrate again")
        return cls(
            sizes=sizes,
            match_distance=thresholds[0],
            uncertain_distance=thresholds[1],
            limits=((limits[0, 0], limits[0, 1]), (limits[1, 0], limits[1, 1])),
            weights=(tuple(weights[0].tolist()), tuple(weights[1].tolist())),
            unknown_share=share,
            fitted_on=fitted_on,
            measured=measured,
        )


_POWERS: Final = tuple(powers for powers in product(range(4), repeat=3) if sum(powers) <= 3)

NUM_TERMS: Final = len(_POWERS)


def terms(
    evidence: Evidence, limits: tuple[tuple[float, float], tuple[float, float]], sizes: tuple[int, ...]
) -> NDArray[np.float64]:
    """(..., K, `NUM_TERMS`): all products of at most three of distance, margin and log size, each scaled to -1..1."""
    scaled = [
        _scaled(evidence.distance, *limits[0]),
        _scaled(evidence.margin, *limits[1]),
        _scaled(np.log(evidence.num_searched), float(np.log(sizes[0])), float(np.log(sizes[-1]))),
    ]
    powers = [[np.ones_like(values), values, values**2, values**3] for values in scaled]
    return np.stack([powers[0][i] * powers[1][j] * powers[2][k] for i, j, k in _POWERS], axis=-1)


def _scaled(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    return np.asarray(2 * (np.clip(values, low, high) - low) / max(high - low, 1e-12) - 1)
