from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from index.calibration.calibration import NUM_TERMS, Calibration, CalibrationError
from index.calibration.evidence import Evidence, evidence_of

# Of 1, distance, margin and size; of their products only the square of the margin.
RIGHT, WRONG = (0.5, -2.0, 1.0, -0.5, 0.25), (-0.5, 1.0, -1.0, 0.5, -0.25)


def weights(one: float, distance: float, margin: float, size: float, margin_squared: float) -> tuple[float, ...]:
    """By the places that these terms have: their powers count up like a clock's digits, the size's the fastest."""
    powers = [p for p in product(range(4), repeat=3) if sum(p) <= 3]
    found = dict.fromkeys(powers, 0.0)
    found |= {(0, 0, 0): one, (1, 0, 0): distance, (0, 1, 0): margin, (0, 0, 1): size, (0, 2, 0): margin_squared}
    return tuple(found.values())


CALIBRATION = Calibration(
    sizes=(10, 1000),
    match_distance=(1.0, 0.5),
    uncertain_distance=(1.5, 0.75),
    limits=((0.0, 2.0), (-1.0, 1.0)),
    weights=(weights(*RIGHT), weights(*WRONG)),
    unknown_share=0.5,
    fitted_on={"data": "nothing"},
)


def evidence(distance: float, next_distance: float, num_searched: int) -> Evidence:
    return evidence_of(np.array([distance, next_distance]), np.array([0, 1]), np.array(float(num_searched)))


def naive_probability(distance: float, margin: float, num_searched: int, unknown_share: float) -> float:
    """By hand, of the terms that the weights above have."""
    d, m = distance - 1, margin
    n = 2 * (np.log(num_searched) - np.log(10)) / np.log(100) - 1
    right, wrong = (np.exp(w[0] + w[1] * d + w[2] * m + w[3] * n + w[4] * m**2) for w in (RIGHT, WRONG))
    known, unknown = (1 - unknown_share) / 0.5, unknown_share / 0.5
    return float(right * known / (right * known + wrong * known + unknown))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize(("distance", "next_distance", "num"), [(0.4, 0.9, 10), (1.1, 1.2, 100), (1.9, 1.9, 1000)])
def test_probabilities_follow_the_share_of_unknown_vehicles(
    share: float, distance: float, next_distance: float, num: int
) -> None:
    got = CALIBRATION.probability(evidence(distance, next_distance, num), share)
    assert got[0] == pytest.approx(naive_probability(distance, next_distance - distance, num, share))
    assert got[1] == pytest.approx(naive_probability(next_distance, distance - next_distance, num, share))


def test_the_share_is_the_fitted_one_unless_another_is_given() -> None:
    one = evidence(0.4, 0.9, 10)
    assert CALIBRATION.probability(one).tolist() == CALIBRATION.probability(one, 0.5).tolist()
    assert CALIBRATION.probability(one, 1.0).tolist() == [0.0, 0.0]


def test_beyond_what_was_seen_nothing_changes() -> None:
    far, farther = (CALIBRATION.probability(evidence(d, d + 1, 1000)) for d in (2.0, 7.0))
    assert far.tolist() == farther.tolist()


@pytest.mark.parametrize(
    ("nearest", "num_searched", "expected"),
    [
        (1.0, 10, "match"),
        (1.001, 10, "uncertain"),
        (1.5, 10, "uncertain"),
        (1.501, 10, "no_match"),
        (0.75, 100, "match"),  # half-way between the sizes in the logarithm
        (0.751, 100, "uncertain"),
        (1.125, 100, "uncertain"),
        (1.126, 100, "no_match"),
        (0.5, 1000, "match"),
        (0.5, 1100, "match"),
        (0.5, 1101, "uncalibrated"),
        (1.0, 1, "match"),
        (0.0, 0, "uncalibrated"),
    ],
)
def test_decisions_are_those_of_the_thresholds_at_the_number_searched(
    nearest: float, num_searched: int, expected: str
) -> None:
    assert CALIBRATION.decide(nearest, num_searched) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "sanet-calibration-0"},
        {"format": None},
        {"sizes": []},
        {"sizes": [1000, 10]},
        {"sizes": [0, 10]},
        {"match_distance": [1.0]},
        {"weights": [[1.0] * NUM_TERMS]},
        {"weights": [[float("nan")] * NUM_TERMS] * 2},
        {"limits": [[0, 1]]},
        {"unknown_share": 1.0},
        {"match_distance": [float("nan"), 0.5]},
        {"uncertain_distance": [float("inf"), 0.5]},
        {"unknown_share": "half"},
        {"fitted_on": None},
        {"measured": 3},
    ],
)
def test_what_is_no_calibration_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CalibrationError, match="calibrate again"):
        Calibration.from_dict(CALIBRATION.to_dict() | changes)


@pytest.mark.parametrize("values", [[], None, 3, "text"])
def test_what_is_no_object_is_refused(values: Any) -> None:
    with pytest.raises(CalibrationError, match="calibrate again"):
        Calibration.from_dict(values)


def test_a_missing_value_is_refused() -> None:
    values = CALIBRATION.to_dict()
    del values["weights"]
    with pytest.raises(CalibrationError, match="calibrate again"):
        Calibration.from_dict(values)


def test_it_reads_what_it_wrote() -> None:
    measured = replace(CALIBRATION, measured={"sizes": [{"ece": 0.01}]})
    assert Calibration.from_dict(measured.to_dict()) == measured
