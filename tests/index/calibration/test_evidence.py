import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.calibration.evidence import DEPTH, evidence_of, group_numbers


def naive_evidence(distances: list[float], groups: list[int]) -> list[tuple[float, float, bool]]:
    """(distance, margin, is_nearest) of each match, in the words of `Evidence`."""
    there = [distance for distance in distances if math.isfinite(distance)]
    nearest: dict[int, float] = {}
    for distance, group in zip(distances, groups, strict=True):
        nearest.setdefault(group, distance)
    evidence, seen = [], set()
    for distance, group in zip(distances, groups, strict=True):
        others = [d for g, d in nearest.items() if g != group and math.isfinite(d)]
        next_vehicle = min(others, default=there[-1])
        is_nearest = group not in seen and math.isfinite(distance)
        seen.add(group)
        evidence.append((nearest[group], next_vehicle - nearest[group], is_nearest))
    return evidence


answers = st.integers(1, 10).flatmap(
    lambda k: st.tuples(
        st.lists(st.floats(0, 4), min_size=k, max_size=k).map(sorted),
        st.lists(st.integers(0, 3), min_size=k, max_size=k),
        st.integers(0, 9),
    )
)


@given(answers)
def test_it_is_what_a_naive_reading_of_the_answer_gives(answer: tuple[list[float], list[int], int]) -> None:
    distances, groups, num_missing = answer
    padded = distances + [math.inf] * num_missing
    # What is not there belongs to nobody.
    groups = groups + [-1] * num_missing
    evidence = evidence_of(np.array([padded]), np.array([groups]), np.array([7.0]))
    for number, (distance, margin, is_nearest) in enumerate(naive_evidence(padded, groups)):
        assert evidence.is_nearest[0, number] == is_nearest
        if math.isfinite(padded[number]):
            assert evidence.distance[0, number] == distance
            assert evidence.margin[0, number] == pytest.approx(margin, abs=1e-12)
            assert evidence.num_searched[0, number] == 7


def test_matches_of_one_vehicle_have_the_evidence_of_the_nearest() -> None:
    evidence = evidence_of(np.array([1.0, 1.25, 1.5, 2.0]), np.array([4, 9, 4, 9]), np.array(100.0))
    assert evidence.distance.tolist() == [1.0, 1.25, 1.0, 1.25]
    assert evidence.margin.tolist() == [0.25, -0.25, 0.25, -0.25]
    assert evidence.is_nearest.tolist() == [True, True, False, False]


def test_where_all_matches_are_of_one_vehicle_the_farthest_stands_for_the_next_one() -> None:
    evidence = evidence_of(np.array([1.0, 1.5, 1.75]), np.array([4, 4, 4]), np.array(3.0))
    assert evidence.margin.tolist() == [0.75, 0.75, 0.75]


def test_rank_1_means_the_same_however_many_matches_were_asked_for() -> None:
    distances = np.linspace(1.0, 2.0, 40)
    for groups in (np.arange(40), np.zeros(40, np.int64), np.r_[np.zeros(15, np.int64), np.arange(1, 26)]):
        few = evidence_of(distances[:DEPTH], groups[:DEPTH], np.array(100.0))
        many = evidence_of(distances, groups, np.array(100.0))
        assert many.margin[:DEPTH].tolist() == few.margin.tolist()


def test_a_single_match_has_no_margin() -> None:
    assert evidence_of(np.array([1.0]), np.array([0]), np.array(1.0)).margin.tolist() == [0.0]


def test_records_without_an_identity_are_vehicles_of_their_own() -> None:
    numbers = group_numbers(["a", None, "b", None, "a"]).tolist()
    assert numbers[0] == numbers[4]
    assert len(set(numbers)) == 4
