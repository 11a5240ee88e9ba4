from dataclasses import replace

import numpy as np
import pytest

from index.calibration.evidence import DEPTH
from index.calibration.trials import NOBODY, Vehicles, draw_trials
from tests.index.calibration.drawn_vehicles import drawn_vehicles


def naive_answer(
    vehicles: Vehicles, query: int, gallery: list[int], *, is_known: bool
) -> tuple[list[float], list[int], int]:
    """Distances and identities of the nearest, and how many were searched."""
    found = []
    for row in gallery:
        is_own = vehicles.identity[row] == vehicles.identity[query]
        if vehicles.frame[row] == vehicles.frame[query] or (is_own and not is_known):
            continue
        difference = vehicles.embedding[query].astype(np.float64) - vehicles.embedding[row].astype(np.float64)
        found.append((float(np.sqrt(difference @ difference)), int(vehicles.identity[row])))
    nearest = sorted(found)[:DEPTH]
    return [distance for distance, _ in nearest], [identity for _, identity in nearest], len(found)


@pytest.mark.parametrize("num_crops", [1, 2, 5])
def test_a_gallery_of_everything_answers_as_a_naive_search_does(num_crops: int) -> None:
    vehicles = drawn_vehicles(12, num_crops, 0.5, seed=num_crops)
    num = len(vehicles.identity)
    trials = draw_trials(vehicles, [num], num, seed=[0])
    expected = set()
    for query in range(num):
        for is_known in (True, False):
            distances, identities, searched = naive_answer(vehicles, query, list(range(num)), is_known=is_known)
            if is_known and vehicles.identity[query] not in np.delete(vehicles.identity, query):
                continue
            expected.add((int(vehicles.identity[query]), is_known, searched, *identities, *np.round(distances, 4)))
    got = set()
    for distance, match, vehicle, is_known, searched in zip(*trials, strict=True):
        there = match != NOBODY
        assert np.isinf(distance[~there]).all()
        got.add((int(vehicle), bool(is_known), int(searched), *match[there].tolist(), *np.round(distance[there], 4)))
    assert got == expected


def test_what_is_known_and_right_is_said() -> None:
    trials = draw_trials(drawn_vehicles(50, 3, 0.1, seed=1), [60], 200, seed=[0])
    assert trials.is_right[trials.is_known, 0].mean() > 0.99
    assert not trials.is_right[~trials.is_known].any()


def test_vehicles_of_one_frame_are_never_found_by_each_other() -> None:
    vehicles = replace(drawn_vehicles(8, 2, 0.1, seed=2), frame=np.tile([0, 1], 8))
    trials = draw_trials(vehicles, [16], 16, seed=[0])
    assert set(trials.num_searched[trials.is_known].tolist()) == {8}
    assert set(trials.num_searched[~trials.is_known].tolist()) == {7}


def test_only_what_may_ask_asks_and_what_may_answer_answers() -> None:
    vehicles = drawn_vehicles(20, 2, 0.1, seed=3)
    first = np.tile([True, False], 20)
    trials = draw_trials(replace(vehicles, may_ask=~first, may_answer=first), [20], 100, seed=[0])
    assert set(trials.num_searched.tolist()) == {19, 20}  # of 20 that may answer, its own is left out


@pytest.mark.parametrize("num_crops", [1, 2, 4])
def test_every_answer_comes_from_as_many_records_as_the_size_says(num_crops: int) -> None:
    """Else the thresholds of ten records would be those of fewer, and accept more strangers than they promise."""
    trials = draw_trials(drawn_vehicles(100, num_crops, 0.1, seed=4), [10, 50], 100, seed=[0])
    assert set(trials.num_searched.tolist()) == {10, 50}
    assert len(trials.where(~trials.is_known)) == 200


def test_where_there_are_no_more_crops_answers_come_from_fewer() -> None:
    trials = draw_trials(drawn_vehicles(10, 3, 0.1, seed=4), [30], 30, seed=[0])
    assert set(trials.num_searched[trials.is_known].tolist()) == {29}
    assert set(trials.num_searched[~trials.is_known].tolist()) == {27}


def test_a_vehicle_that_fills_the_gallery_is_asked_for_among_others() -> None:
    """Ten crops of one vehicle, and then nine of another: no query is left with nothing to be searched."""
    trials = draw_trials(drawn_vehicles(30, 12, 0.1, seed=5), [10], 100, seed=[0])
    assert trials.num_searched.min() == 10
    assert np.isfinite(trials.distance[:, 0]).all()
    only = draw_trials(drawn_vehicles(1, 12, 0.1, seed=5), [10], 12, seed=[0])
    assert only.is_known.all()


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    vehicles = drawn_vehicles(40, 2, 0.5, seed=5)
    first, again, other = (draw_trials(vehicles, [20], 50, seed=[seed]) for seed in (1, 1, 2))
    assert np.array_equal(first.distance, again.distance)
    assert not np.array_equal(first.distance, other.distance)


def test_too_few_crops_and_nobody_to_ask_are_errors() -> None:
    vehicles = drawn_vehicles(5, 1, 0.1, seed=6)
    with pytest.raises(ValueError, match="a gallery of 6 cannot be drawn from 5 crops"):
        draw_trials(vehicles, [6], 5, seed=[0])
    with pytest.raises(ValueError, match="none had a vehicle for which there is a query"):
        draw_trials(replace(vehicles, may_ask=np.zeros(5, np.bool)), [3], 5, seed=[0])
