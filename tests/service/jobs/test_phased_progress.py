from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from service.jobs.background import Background
from service.jobs.job import Job
from service.jobs.job_store import JobStore
from service.jobs.opening import open_job_store
from service.jobs.phased_progress import PhasedProgress
from service.jobs.running_job import RunningJob


class Waiting(Background):
    """Counts how often it gave way."""

    def __init__(self) -> None:
        self.num_pauses = 0

    def give_way(self) -> None:
        self.num_pauses += 1


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    with closing(open_job_store(tmp_path)) as store:
        yield store


def started(store: JobStore, folder: Path) -> RunningJob:
    store.requeue_running(is_forgiven=True)
    claimed = store.claim()
    assert claimed is not None
    return RunningJob(claimed, store, folder)


def stored(store: JobStore) -> Job:
    return store.page(1, None).jobs[0]


def test_the_number_rises_over_all_phases_in_proportion(
    store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.phased_progress._STORE_EVERY_S", 0)
    store.create("backup", {})
    job = started(store, tmp_path)
    progress = PhasedProgress(job, Waiting(), {"database": 10, "records": 10, "images": 4})
    assert (stored(store).num_done, stored(store).num_total) == (0, 24)
    found = []
    for phase, done, total in [
        ("database", 512, 1024),
        ("database", 1024, 1024),
        ("something else", 3, 3),
        ("records", 1, 10),
        ("records", 10, 10),
        ("images", 3, 6),  # others were enrolled meanwhile
        ("images", 7, 6),
    ]:
        progress(phase, done, total)
        found.append(stored(store).num_done)
    assert found == [5, 10, 10, 11, 20, 22, 24]


def test_what_is_done_again_after_a_restart_does_not_count_twice(
    store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.phased_progress._STORE_EVERY_S", 0)
    store.create("export", {})
    PhasedProgress(started(store, tmp_path), Waiting(), {"records": 10})("records", 6, 10)
    again = PhasedProgress(started(store, tmp_path), Waiting(), {"records": 10})
    found = []
    for done in (1, 5, 6, 7):
        again("records", done, 10)
        found.append(stored(store).num_done)
    assert found == [6, 6, 6, 7]


def test_it_gives_way_often_and_stores_seldom(store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("service.jobs.phased_progress.time.monotonic", lambda: now)
    store.create("verify", {})
    background = Waiting()
    progress = PhasedProgress(started(store, tmp_path), background, {"images": 1000})
    version = stored(store).version
    for done in range(1, 1001):
        now += 0.001
        progress("images", done, 1000)
    assert stored(store).version - version == 3
    assert 40 <= background.num_pauses <= 50


def test_nothing_to_do_is_no_division_by_zero(store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.jobs.phased_progress._STORE_EVERY_S", 0)
    store.create("verify", {})
    PhasedProgress(started(store, tmp_path), Waiting(), {"images": 0, "records": 0})("images", 0, 0)
    assert (stored(store).num_done, stored(store).num_total) == (0, 0)
