import json
from dataclasses import replace
from pathlib import Path

import pytest

from index.calibration.calibration import Calibration, CalibrationError
from index.calibration.evidence import DEPTH
from index.gallery.answers import Match, SearchResult
from service.decision import Decisions
from tests.index.calibration.test_calibration import CALIBRATION
from tests.index.records import MODEL, OTHER_MODELS, record

OWN = replace(CALIBRATION, match_distance=(0.1, 0.05), fitted_on={"data": "own"})


def decisions(folder: Path, calibration: Calibration | None = CALIBRATION, share: float | None = None) -> Decisions:
    return Decisions(folder, MODEL, calibration, share)


def result(*found: tuple[float, str | None], searched: int = 100) -> SearchResult:
    return SearchResult([Match(record(n, identity=name), d) for n, (d, name) in enumerate(found)], searched)


def test_without_a_calibration_nothing_is_said(tmp_path: Path) -> None:
    nobody = decisions(tmp_path, None)
    assert nobody.judge(result((0.1, "a"), (0.2, None))) == ("uncalibrated", [None, None])
    assert (nobody.calibration, nobody.source) == (None, None)
    assert nobody.same_vehicle_distance(100) is None


@pytest.mark.parametrize(
    ("nearest", "searched", "decision"),
    [(0.75, 100, "match"), (0.8, 100, "uncertain"), (1.2, 100, "no_match"), (0.1, 1101, "uncalibrated")],
)
def test_decisions_are_the_calibrations(tmp_path: Path, nearest: float, searched: int, decision: str) -> None:
    judged = decisions(tmp_path).judge(result((nearest, "a"), (1.9, "b"), searched=searched))
    assert judged.decision == decision
    assert all((probability is None) == (decision == "uncalibrated") for probability in judged.probabilities)


def test_matches_of_one_identity_are_as_probable_and_others_less(tmp_path: Path) -> None:
    judged = decisions(tmp_path).judge(result((0.3, "a"), (0.6, "b"), (0.7, "a"), (0.9, None), (0.95, None)))
    first, second, third, fourth, fifth = judged.probabilities
    assert first is not None
    assert second is not None
    assert fourth is not None
    assert fifth is not None
    assert first == third
    assert first > second > fourth > fifth > 0


def test_rank_1_does_not_depend_on_how_many_were_asked_for(tmp_path: Path) -> None:
    found = [(0.3 + number / 100, "a") for number in range(DEPTH)] + [(1.9, "b")] * 5
    few, many = (decisions(tmp_path).judge(result(*found[:num])) for num in (DEPTH, DEPTH + 5))
    assert few.decision == many.decision
    assert few.probabilities == many.probabilities[:DEPTH]


@pytest.mark.parametrize(("top_k", "with_calibration"), [(1, DEPTH), (DEPTH, DEPTH), (500, 500)])
def test_more_is_looked_for_than_was_asked_only_if_it_is_judged(
    tmp_path: Path, top_k: int, with_calibration: int
) -> None:
    assert decisions(tmp_path).num_needed(top_k) == with_calibration
    assert decisions(tmp_path, None).num_needed(top_k) == top_k


def test_what_was_ranked_otherwise_is_not_judged(tmp_path: Path) -> None:
    found = result((0.1, "a"), (0.2, "b"))
    reranked = SearchResult([replace(match, ranked_by=0.5) for match in found.matches], 100)
    assert decisions(tmp_path).judge(reranked) == ("uncalibrated", [None, None])


def test_nothing_is_no_match(tmp_path: Path) -> None:
    assert decisions(tmp_path).judge(SearchResult([], 0)) == ("no_match", [])
    assert decisions(tmp_path, None).judge(SearchResult([], 0)) == ("uncalibrated", [])


def test_the_share_of_unknown_vehicles_is_the_users(tmp_path: Path) -> None:
    found = result((0.5, "a"), (0.9, "b"))
    rare, fitted, common = (decisions(tmp_path, share=share).judge(found) for share in (0.01, None, 0.99))
    assert rare.probabilities[0] > fitted.probabilities[0] > common.probabilities[0]  # type: ignore[operator]
    assert rare.decision == fitted.decision == common.decision  # its promise is about unknown vehicles alone


def test_the_galleries_own_goes_before_the_checkpoints_until_it_is_forgotten(tmp_path: Path) -> None:
    judging = decisions(tmp_path)
    assert judging.source == "checkpoint"
    judging.adopt(OWN)
    for each in (judging, decisions(tmp_path)):  # also after a restart
        assert (each.calibration, each.source) == (OWN, "gallery")
        assert each.judge(result((0.3, "a"), (1.9, "b"))).decision == "uncertain"
    assert judging.forget()
    assert not judging.forget()
    for each in (judging, decisions(tmp_path)):
        assert (each.calibration, each.source) == (CALIBRATION, "checkpoint")


def test_where_only_the_checkpoints_reaches_it_judges_with_its_warning(tmp_path: Path) -> None:
    judging = decisions(tmp_path)
    judging.adopt(replace(OWN, sizes=(10, 50)))
    assert judging.judge(result((0.3, "a"), (1.9, "b"), searched=55)).decision == "uncertain"
    assert judging.warnings(55) == []
    assert judging.judge(result((0.3, "a"), (1.9, "b"), searched=56)).decision == "match"
    (warning,) = judging.warnings(56)
    assert "were calibrated on nothing, not on your vehicles" in warning


def test_where_nothing_reaches_it_is_said(tmp_path: Path) -> None:
    judging = decisions(tmp_path, None)
    assert judging.warnings(10) == []
    judging.adopt(OWN)
    assert judging.judge(result((0.3, "a"), searched=1101)).decision == "uncalibrated"
    (warning,) = judging.warnings(1101)
    assert "reaches galleries of 1,100 records, and 1,101 were searched" in warning


def test_another_model_has_another_calibration(tmp_path: Path) -> None:
    decisions(tmp_path).adopt(OWN)
    for model in OTHER_MODELS:
        assert Decisions(tmp_path, model, None, None).calibration is None


def test_the_distance_of_one_vehicle_is_that_of_uncertain_at_its_number(tmp_path: Path) -> None:
    judging = decisions(tmp_path)
    assert judging.same_vehicle_distance(100) == pytest.approx(1.125)
    assert judging.same_vehicle_distance(1101) is None


@pytest.mark.parametrize("text", ["{", "{}", json.dumps({"format": "other"}), "\xff"])
def test_a_damaged_file_is_said_by_name(tmp_path: Path, text: str) -> None:
    decisions(tmp_path).adopt(OWN)
    (file,) = (tmp_path / "calibrations").iterdir()
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(CalibrationError, match="calibrate again"):
        decisions(tmp_path)
