import json

import numpy as np
import pytest

from index.calibration.calibrating import calibrate
from index.calibration.calibration import Calibration, CalibrationError
from index.calibration.error_figures import error_figures, judge
from index.calibration.trials import draw_trials
from tests.index.calibration.drawn_vehicles import drawn_vehicles

SIZES = (20, 100, 300)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(drawn_vehicles(600, 2, 0.7, seed=0), {"data": "drawn"}, sizes=SIZES, num_queries=1200)


def test_its_promises_hold_for_other_vehicles(calibration: Calibration) -> None:
    others = draw_trials(drawn_vehicles(600, 2, 0.7, seed=1), SIZES, 2400, seed=[7])
    for size in error_figures(judge(calibration, others), SIZES, 0.5)["sizes"]:
        assert 0.05 < size["rank1_of_known"]["share"] < 0.999  # neither trivial nor hopeless
        assert size["ece"] < 0.04
        assert size["ece_matches"] < 0.04
        low, high = size["decisions"]["match_or_uncertain"]["false_accepts"]["interval"]
        assert low - 0.01 < 0.01 < high + 0.01


def test_what_it_says_of_itself_is_what_others_measure(calibration: Calibration) -> None:
    others = draw_trials(drawn_vehicles(600, 2, 0.7, seed=1), SIZES, 2400, seed=[7])
    measured = error_figures(judge(calibration, others), SIZES, 0.5)["sizes"]
    for own, other in zip(calibration.measured["sizes"], measured, strict=True):
        assert own["num_unknown"] == 2400  # of both halves
        for name in ("match", "match_or_uncertain"):
            ours, theirs = (of["decisions"][name]["true_accepts"]["share"] for of in (own, other))
            assert ours == pytest.approx(theirs, abs=0.15)


def test_larger_galleries_need_nearer_matches(calibration: Calibration) -> None:
    assert calibration.sizes == SIZES
    for distances in (calibration.match_distance, calibration.uncertain_distance):
        assert list(distances) == sorted(distances, reverse=True)
    assert all(map(lambda a, b: a <= b, calibration.match_distance, calibration.uncertain_distance))


def test_it_is_the_same_after_a_trip_through_json(calibration: Calibration) -> None:
    assert Calibration.from_dict(json.loads(json.dumps(calibration.to_dict()))) == calibration


def test_sizes_are_those_that_can_be_drawn() -> None:
    found = calibrate(drawn_vehicles(120, 2, 0.7, seed=2), {}, num_queries=300)
    assert found.sizes == (10, 30, 100, 240)


def test_vehicles_of_many_crops_have_finite_thresholds() -> None:
    found = calibrate(drawn_vehicles(120, 12, 0.7, seed=3), {}, sizes=(10, 100), num_queries=2000)
    assert np.isfinite([found.match_distance, found.uncertain_distance]).all()
    others = draw_trials(drawn_vehicles(120, 12, 0.7, seed=4), (10, 100), 4000, seed=[1])
    for size in error_figures(judge(found, others), (10, 100), 0.5)["sizes"]:
        low, high = size["decisions"]["match_or_uncertain"]["false_accepts"]["interval"]
        assert low - 0.01 < 0.01 < high + 0.01


def test_what_it_cannot_be_fitted_to_is_refused() -> None:
    with pytest.raises(CalibrationError, match="there are 99 vehicles with a known identity"):
        calibrate(drawn_vehicles(99, 2, 0.5, seed=0), {})
    with pytest.raises(CalibrationError, match="a gallery of 500 records cannot be drawn from 240 crops"):
        calibrate(drawn_vehicles(120, 2, 0.5, seed=0), {}, sizes=(10, 500))
    with pytest.raises(CalibrationError, match="no vehicle was in the gallery"):
        calibrate(drawn_vehicles(300, 1, 0.5, seed=0), {}, sizes=(100,), num_queries=400)


def test_folds_do_not_share_vehicles() -> None:
    """A calibration that saw the vehicles it is measured on would keep its promise to the letter."""
    vehicles = drawn_vehicles(150, 2, 0.7, seed=3)
    found = calibrate(vehicles, {}, sizes=(100,), num_queries=1000)
    own = error_figures(judge(found, draw_trials(vehicles, (100,), 2000, seed=[0])), (100,), 0.5)["sizes"][0]
    crossed = found.measured["sizes"][0]
    crossed_share, own_share = (
        size["decisions"]["match_or_uncertain"]["false_accepts"]["share"] for size in (crossed, own)
    )
    assert abs(own_share - 0.01) < 0.004
    assert crossed_share != own_share
    assert np.isfinite(crossed["ece"])
