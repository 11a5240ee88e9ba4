import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest

from service.jobs.errors import JobStoreError
from service.jobs.job import Job, State
from service.jobs.job_store import JobStore
from service.jobs.kind import JobParameters, Kind
from service.jobs.lane import Lane
from service.jobs.opening import open_job_store
from service.jobs.running_job import RunningJob

Work = Callable[[RunningJob], dict[str, Any]]


class Working(Kind[JobParameters]):
    """Does what a test gives it."""

    name: ClassVar[str] = "work"
    parameters = JobParameters

    def __init__(self, work: Work) -> None:
        self._work = work

    def run(self, job: RunningJob, parameters: JobParameters) -> dict[str, Any]:
        return self._work(job)


@contextmanager
def running(folder: Path, *kinds: Kind[Any]) -> Iterator[tuple[JobStore, Lane]]:
    with closing(open_job_store(folder)) as store:
        lane = Lane(store, {kind.name: kind for kind in kinds}, folder / "jobs")
        lane.start()
        yield store, lane
        lane.stop()
        lane.join()
        assert not lane._thread.is_alive()


def create(store: JobStore, lane: Lane, kind: str = "work") -> Job:
    job = store.create(kind, {"kind": kind})
    lane.wake()
    return job


def reaches(store: JobStore, job: Job, *states: State) -> Job:
    end = time.monotonic() + 30
    while (found := store.get(job.id)).state not in states:
        assert time.monotonic() < end, found
        time.sleep(0.005)
    return found


def until(holds: Callable[[], bool]) -> None:
    """Waits: a job is done before its folder is gone, so that a crash in between loses nothing."""
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def becomes_empty(folder: Path) -> None:
    until(lambda: not any(folder.iterdir()))


def counts_to(number: int, gate: threading.Event | None = None, at: int = 0) -> Work:
    """Counts with its cursor, one by one; it waits for the gate before one number."""

    def count(job: RunningJob) -> dict[str, Any]:
        for i in range(job.cursor or 0, number):
            if gate is not None and i == at:
                while not gate.wait(0.005):
                    job.raise_if_interrupted()
            job.raise_if_interrupted()
            (job.folder / f"{i}.txt").touch()
            job.advance(i + 1, cursor=i + 1, num_total=number)
        return {"files": sorted(path.name for path in job.folder.iterdir())}

    return count


def test_jobs_run_one_after_the_other_and_say_what_came_of_them(tmp_path: Path) -> None:
    with running(tmp_path, Working(counts_to(3))) as (store, lane):
        jobs = [create(store, lane) for _ in range(3)]
        ends = [reaches(store, job, "done") for job in jobs]
        for end in ends:
            assert (end.num_done, end.num_total, end.report) == (3, 3, {"files": ["0.txt", "1.txt", "2.txt"]})
        for earlier, later in pairwise(ends):
            assert earlier.finished_at is not None
            assert later.started_at is not None
            assert earlier.finished_at <= later.started_at
        becomes_empty(tmp_path / "jobs")


def test_results_stay_and_the_report_names_them(tmp_path: Path) -> None:
    def make_results(job: RunningJob) -> dict[str, Any]:
        (job.folder / "scratch").mkdir()
        (job.folder / "scratch" / "0.txt").write_text("0")
        (job.results / "b.csv").write_text("1234")
        (job.results / "a.csv").write_text("")
        return {"rows": 2}

    with running(tmp_path, Working(make_results)) as (store, lane):
        job = create(store, lane)
        assert reaches(store, job, "done").report == {
            "rows": 2,
            "files": [
                {"name": "a.csv", "bytes": 0, "url": f"/jobs/{job.id}/files/a.csv"},
                {"name": "b.csv", "bytes": 4, "url": f"/jobs/{job.id}/files/b.csv"},
            ],
        }
    with running(tmp_path, Working(make_results)) as (store, lane):  # nor does the next start remove them
        reaches(store, create(store, lane), "done")
        folder = tmp_path / "jobs" / job.id
        assert [path.name for path in folder.iterdir()] == ["results"]
        assert sorted(path.name for path in (folder / "results").iterdir()) == ["a.csv", "b.csv"]


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_results_of_a_job_that_is_not_done_are_removed(tmp_path: Path, state: State) -> None:
    def make_half(job: RunningJob) -> dict[str, Any]:
        (job.results / "half.csv").write_text("1")
        if state == "failed":
            raise ValueError("no more")
        while True:
            job.wait(0.01)

    with running(tmp_path, Working(make_half)) as (store, lane):
        job = create(store, lane)
        if state == "cancelled":
            reaches(store, job, "running")
            store.cancel(job.id)
            lane.interrupt(job.id)
        reaches(store, job, state)
        becomes_empty(tmp_path / "jobs")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("line 7 is none\nand more"), "line 7 is none"),
        (OSError("the disk is gone"), "the disk is gone"),
        (ZeroDivisionError("secret"), "an internal error (ZeroDivisionError): the service's log has the reason"),
    ],
)
def test_a_failure_is_one_line_and_the_next_job_runs(tmp_path: Path, error: Exception, said: str) -> None:
    errors: list[Exception] = [error]

    def fail_once(job: RunningJob) -> dict[str, Any]:
        if errors:
            raise errors.pop()
        return {}

    with running(tmp_path, Working(fail_once)) as (store, lane):
        first, second = create(store, lane), create(store, lane)
        assert reaches(store, first, "failed").error == said
        reaches(store, second, "done")


def test_a_running_job_is_cancelled_at_its_next_step(tmp_path: Path) -> None:
    with running(tmp_path, Working(counts_to(5, threading.Event(), at=3))) as (store, lane):
        job, waiting = create(store, lane), create(store, lane)
        while store.get(job.id).num_done < 3:
            time.sleep(0.005)
        store.cancel(waiting.id)
        assert store.cancel(job.id).cancelling
        lane.interrupt(job.id)
        end = reaches(store, job, "cancelled")
        assert (end.num_done, end.cancelling, end.error) == (3, False, None)
        assert store.get(waiting.id).state == "cancelled"
        until(lambda: not (tmp_path / "jobs" / job.id).exists())


def test_a_stop_is_no_end_and_the_job_goes_on_where_it_was(tmp_path: Path) -> None:
    gate = threading.Event()
    with running(tmp_path, Working(counts_to(5, gate, at=3))) as (store, lane):
        job = create(store, lane)
        while store.get(job.id).num_done < 3:
            time.sleep(0.005)
    with closing(open_job_store(tmp_path)) as store:
        assert store.get(job.id).state == "queued"
        assert store.get(job.id).cursor == 3
    gate.set()
    with running(tmp_path, Working(counts_to(5, gate, at=3))) as (store, _):
        end = reaches(store, job, "done")
        assert end.report == {"files": [f"{i}.txt" for i in range(5)]}  # those of the first run are still there


def killed(folder: Path, num_done: int | None = None) -> None:
    """What a process leaves that is killed while it runs its oldest job, perhaps after some progress."""
    with closing(open_job_store(folder)) as store:
        store.requeue_running(is_forgiven=False)
        job = store.claim()
        assert job is not None
        (folder / "jobs" / job.id).mkdir(parents=True, exist_ok=True)
        if num_done is not None:
            store.advance(job, num_done, cursor=num_done, report=None, num_total=9, rejections=[])


def test_a_job_that_ends_the_process_again_and_again_fails(tmp_path: Path) -> None:
    with closing(open_job_store(tmp_path)) as store:
        poison, innocent = store.create("work", {"kind": "work"}), store.create("work", {"kind": "work"})
    killed(tmp_path, 2)
    for _ in range(3):
        killed(tmp_path)
    with running(tmp_path, Working(counts_to(3))) as (store, _):
        error = reaches(store, poison, "failed").error
        assert error is not None
        assert "the service ended 3 times while it ran, and it got no further than 2 of 9" in error
        reaches(store, innocent, "done")
        until(lambda: not (tmp_path / "jobs" / poison.id).exists())


@pytest.mark.parametrize("progress", [[None, None], [1, None, None], [1, 2, 3, 4, 5]])
def test_a_job_that_gets_further_may_be_interrupted_often(tmp_path: Path, progress: list[int | None]) -> None:
    with closing(open_job_store(tmp_path)) as store:
        job = store.create("work", {"kind": "work"})
    for num_done in progress:
        killed(tmp_path, num_done)
    with running(tmp_path, Working(counts_to(9))) as (store, _):
        assert reaches(store, job, "done", "failed").state == "done"


def test_a_kind_that_is_gone_fails_its_jobs(tmp_path: Path) -> None:
    with running(tmp_path) as (store, lane):
        assert (
            reaches(store, create(store, lane, "dance"), "failed").error == "this service has no jobs of the kind dance"
        )


def test_folders_of_jobs_that_had_ended_are_removed_and_others_are_not(tmp_path: Path) -> None:
    with closing(open_job_store(tmp_path)) as store:
        job = store.create("work", {"kind": "work"})
        store.cancel(job.id)
    for name in (job.id, "somebody-elses"):
        (tmp_path / "jobs" / name).mkdir(parents=True)
    with running(tmp_path, Working(counts_to(1))) as (store, lane):
        reaches(store, create(store, lane), "done")
        until(lambda: [path.name for path in (tmp_path / "jobs").iterdir()] == ["somebody-elses"])


def test_a_store_that_fails_for_a_while_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.jobs.lane._RETRY_S", 0.01)
    advance = JobStore.advance
    failures = iter(range(7))

    def full(store: JobStore, *args: Any, **values: Any) -> Job:
        if args[1] == 3 and next(failures, None) is not None:
            raise JobStoreError("disk full")
        return advance(store, *args, **values)

    monkeypatch.setattr(JobStore, "advance", full)
    with running(tmp_path, Working(counts_to(5))) as (store, lane):
        end = reaches(store, create(store, lane), "done", "failed")
        assert (end.state, end.num_done) == ("done", 5)
