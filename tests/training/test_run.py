from pathlib import Path

import pytest

from tests.training.runs import small_recipe, small_run, write_vehicles
from training import distributed
from training.run import Habits, Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return small_run(write_vehicles(tmp_path / "vehicles", 4, 2), tmp_path / "run", small_recipe(), seed=3)


def test_a_run_says_what_its_folder_keeps(run: Run) -> None:
    assert run.facts() == {
        "data": "vehicles", "seed": 3, "best_by": "validation", "device": "cpu", "num_processes": 1,
    }  # fmt: skip


def test_only_the_first_of_several_processes_reports(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run.reports
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    assert not run.reports


def test_a_bar_is_drawn_by_the_process_that_reports_if_it_is_asked_to(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run.bar(3) as bar:
        assert bar.disable
    loud = Run(run.recipe, run.data, run.folder, 0, run.device, {})
    assert loud.habits == Habits(10, 300.0, 4.0, show_progress=True)
    with loud.bar(3, desc="images") as bar:
        assert (bar.disable, bar.total, bar.unit) == (False, 3, "img")
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    with loud.bar(3) as bar:
        assert bar.disable
