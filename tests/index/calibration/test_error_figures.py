import numpy as np
import pytest

from index.calibration.error_figures import (
    NUM_BINS,
    Judged,
    error_figures,
    expected_calibration_error,
    pool,
    reliability_diagram,
)
from index.calibration.trials import NOBODY, Trials


def judged(rows: list[tuple[float, int, int, bool, float]]) -> Judged:
    """Trials with one match each: (distance, match, vehicle, is_known, probability); thresholds 1 and 2."""
    distance, match, vehicle, is_known, probability = map(np.array, zip(*rows, strict=True))
    trials = Trials(distance[:, np.newaxis], match[:, np.newaxis], vehicle, is_known, np.full(len(rows), 10))
    return Judged(trials, probability[:, np.newaxis], np.full(len(rows), 1.0), np.full(len(rows), 2.0))


ROWS = [
    (0.5, 1, 1, True, 0.9),  # right and a match
    (1.5, 1, 1, True, 0.6),  # right and uncertain
    (2.5, 2, 2, True, 0.3),  # right, but not believed
    (0.9, 7, 3, True, 0.8),  # wrong and a match
    (1.0, 7, 4, False, 0.2),  # unknown, and called a match
    (1.9, 8, 5, False, 0.2),  # unknown, and called uncertain
    (2.1, 8, 5, False, 0.1),
    (3.0, NOBODY, 6, False, 0.0),
]


def test_shares_are_counted_as_by_hand() -> None:
    (size,) = error_figures(judged(ROWS), (10,), 0.5)["sizes"]
    assert (size["num_unknown"], size["num_unknown_vehicles"]) == (4, 3)
    assert (size["num_known"], size["num_known_vehicles"]) == (4, 3)
    assert size["rank1_of_known"]["share"] == 0.75
    match, either = size["decisions"]["match"], size["decisions"]["match_or_uncertain"]
    assert [match[name]["share"] for name in ("false_accepts", "true_accepts", "wrong_accepts")] == [0.25, 0.25, 0.25]
    assert [either[name]["share"] for name in ("false_accepts", "true_accepts", "wrong_accepts")] == [0.5, 0.5, 0.25]
    assert (match["promised"], either["promised"]) == (0.001, 0.01)


def test_intervals_are_over_vehicles() -> None:
    rows = [(0.5 if vehicle < 5 else 3.0, NOBODY, vehicle, False, 0.1) for vehicle in range(10)]
    few = error_figures(judged(rows), (10,), 0.5)["sizes"][0]["decisions"]["match"]["false_accepts"]
    same_again = error_figures(judged(rows * 50), (10,), 0.5)["sizes"][0]["decisions"]["match"]["false_accepts"]
    assert few["interval"] == same_again["interval"]
    assert few["interval"][0] < 0.3 < 0.7 < few["interval"][1]


def test_trials_without_known_or_unknown_vehicles_have_figures_of_the_others() -> None:
    known = [row for row in ROWS if row[3]]
    (size,) = error_figures(judged(known), (10,), 0.5)["sizes"]
    assert size["decisions"]["match"]["false_accepts"] is None
    assert size["decisions"]["match"]["true_accepts"]["share"] == 0.25
    assert size["roc"] == []


def test_the_roc_ends_where_all_are_accepted() -> None:
    (size,) = error_figures(judged(ROWS), (10,), 0.5)["sizes"]
    assert size["roc"][-1] == {"false_accepts": 1.0, "true_accepts": 0.75}
    assert [point["true_accepts"] for point in size["roc"]] == sorted(point["true_accepts"] for point in size["roc"])


def test_a_reliability_diagram_has_bins_of_equal_weight() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(15_000)
    diagram = reliability_diagram(probability, rng.random(15_000) < probability, np.ones(15_000))
    assert diagram.shape == (NUM_BINS, 3)
    assert diagram[:, 2] == pytest.approx(1 / NUM_BINS, abs=1e-3)
    assert diagram[:, 0].tolist() == sorted(diagram[:, 0].tolist())
    assert expected_calibration_error(diagram) < 0.02


def test_the_calibration_error_is_the_mean_gap() -> None:
    probability, is_right = (
        np.array([0.2] * 10 + [0.9] * 10),
        np.array([True] * 4 + [False] * 6 + [True] * 5 + [False] * 5),
    )
    coarse = reliability_diagram(probability, is_right, np.ones(20))
    # However the bins cut the equal ones, their gaps lie on one side within each value but for the cuts.
    assert expected_calibration_error(coarse) >= 0.5 * (0.4 - 0.2) + 0.5 * (0.9 - 0.5) - 1e-9
    exact = np.array([[0.2, 0.4, 0.5], [0.9, 0.5, 0.5]])
    assert expected_calibration_error(exact) == pytest.approx(0.3)


def test_weights_count_as_so_many_answers() -> None:
    probability, is_right = np.array([0.1, 0.4, 0.8]), np.array([False, True, True])
    weighted = reliability_diagram(probability, is_right, np.array([3.0, 1.0, 2.0]))
    assert np.sum(weighted[:, 2]) == pytest.approx(1)
    assert np.sum(weighted[:, 0] * weighted[:, 2]) == pytest.approx((0.3 + 0.4 + 1.6) / 6)
    assert np.sum(weighted[:, 1] * weighted[:, 2]) == pytest.approx(3 / 6)


def test_pooled_figures_are_those_of_all() -> None:
    whole, halves = judged(ROWS), pool([judged(ROWS[:3]), judged(ROWS[3:])])
    assert error_figures(whole, (10,), 0.5) == error_figures(halves, (10,), 0.5)
