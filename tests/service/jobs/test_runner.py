"""Jobs of one list that several processes run, each until its lease runs out."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from service.jobs.errors import JobStoreAwayError, JobTakenOverError
from service.jobs.job import Job
from service.jobs.job_store import JobStore
from service.jobs.lane import Lane
from service.jobs.opening import open_job_store
from service.jobs.running_job import RunningJob
from tests.postgres_server import PostgresServer
from tests.service.jobs.test_lane import Working, reaches


@pytest.fixture
def stores(tmp_path: Path, postgres_url: str) -> Iterator[list[JobStore]]:
    """Of three processes on one database."""
    with ExitStack() as opened:
        yield [opened.enter_context(closing(open_job_store(tmp_path, postgres_url))) for _ in range(3)]


def claimed(store: JobStore) -> Job:
    store.requeue_running(is_forgiven=False)
    job = store.claim()
    assert job is not None
    return job


def advance(store: JobStore, job: Job, num_done: int) -> Job:
    return store.advance(job, num_done, cursor=num_done, report=None, num_total=9, rejections=[])


def let_leases_run_out(server: PostgresServer, url: str) -> None:
    server.execute("UPDATE job_leases SET until = now() AT TIME ZONE 'UTC' - interval '1 second'", url=url)


def test_what_one_runs_no_other_takes(stores: list[JobStore]) -> None:
    first, second, third = stores
    ids = [first.create("work", {}).id for _ in range(2)]
    assert [claimed(first).id, claimed(second).id] == ids
    third.requeue_running(is_forgiven=False)
    for store in stores:
        assert store.claim() is None
    assert {first.get(id_).state for id_ in ids} == {"running"}


def test_a_process_that_is_not_heard_of_loses_its_job_and_stores_nothing_of_it_any_more(
    stores: list[JobStore], postgres_server: PostgresServer, postgres_url: str
) -> None:
    first, second, third = stores
    first.create("work", {})
    hung = advance(first, claimed(first), 3)
    let_leases_run_out(postgres_server, postgres_url)
    job = claimed(second)
    assert (job.id, job.cursor, job.num_starts) == (hung.id, 3, 1)
    for store in (
        lambda: advance(first, hung, 4),
        lambda: first.finish(hung.id, "done"),
        lambda: first.release(hung.id),
    ):
        with pytest.raises(JobTakenOverError, match="another process has taken over the job"):
            store()
    first.renew()  # has no lease any more that could begin anew
    assert (second.get(job.id).num_done, second.get(job.id).state) == (3, "running")
    advance(second, job, 9)
    third.requeue_running(is_forgiven=False)
    second.finish(job.id, "done")
    assert first.get(job.id).state == "done"


def test_a_process_that_says_that_it_lives_keeps_its_job(
    stores: list[JobStore], postgres_server: PostgresServer, postgres_url: str
) -> None:
    first, second, _ = stores
    first.create("work", {})
    job = claimed(first)
    let_leases_run_out(postgres_server, postgres_url)
    first.renew()
    second.requeue_running(is_forgiven=False)
    assert second.claim() is None
    # Late, but nobody has taken it over.
    let_leases_run_out(postgres_server, postgres_url)
    assert advance(first, job, 1).num_done == 1
    first.release(job.id)
    assert claimed(second).id == job.id


def test_what_its_own_process_was_interrupted_in_is_taken_again_at_once(stores: list[JobStore]) -> None:
    first = stores[0]
    first.create("work", {})
    job = claimed(first)
    assert claimed(first).id == job.id  # as after the database was away


def test_many_that_claim_at_once_never_get_the_same(stores: list[JobStore]) -> None:
    ids = {stores[0].create("work", {}).id for _ in range(30)}
    found: list[str] = []

    def claim(store: JobStore) -> None:
        while (job := store.claim()) is not None:
            found.append(job.id)

    threads = [threading.Thread(target=claim, args=[store]) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(ids)


def test_lanes_of_several_processes_run_each_job_once(
    stores: list[JobStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.lane._LOOK_EVERY_S", 0.02)
    done: list[str] = []

    def work(job: RunningJob) -> dict[str, Any]:
        job.advance(1, num_total=1)
        done.append(job.id)
        return {}

    lanes = [Lane(store, {"work": Working(work)}, tmp_path / "jobs") for store in stores]
    for lane in lanes:
        lane.start()
    jobs = [stores[0].create("work", {"kind": "work"}) for _ in range(12)]  # nobody is woken: they look
    for job in jobs:
        assert reaches(stores[1], job, "done", "failed").state == "done"
    for lane in lanes:
        lane.stop()
        lane.join()
    assert sorted(done) == sorted(job.id for job in jobs)


def test_the_job_of_a_killed_process_goes_on_in_another_one(
    stores: list[JobStore], tmp_path: Path, postgres_server: PostgresServer, postgres_url: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr("service.jobs.lane._LOOK_EVERY_S", 0.02)
    script = """
import sys
from pathlib import Path
from service.jobs.opening import open_job_store

store = open_job_store(Path(sys.argv[1]), sys.argv[2])
job = store.claim()
store.advance(job, 4, cursor=4, report=None, num_total=9, rejections=[])
print(job.id, flush=True)
sys.stdin.read()
"""
    job = stores[0].create("work", {"kind": "work"})
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), postgres_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == job.id
        process.kill()
    cursors: list[Any] = []

    def work(running: RunningJob) -> dict[str, Any]:
        cursors.append(running.cursor)
        return {}

    lane = Lane(stores[0], {"work": Working(work)}, tmp_path / "jobs")
    looked, claim = threading.Event(), stores[0].claim

    def look() -> Job | None:
        looked.set()
        return claim()

    monkeypatch.setattr(stores[0], "claim", look)
    lane.start()
    assert looked.wait(60)
    assert stores[0].get(job.id).state == "running"  # its lease is still good
    let_leases_run_out(postgres_server, postgres_url)
    assert reaches(stores[1], job, "done", "failed").state == "done"
    lane.stop()
    lane.join()
    assert cursors == [4]


def test_a_lane_says_that_it_lives_while_a_step_takes_long(
    stores: list[JobStore], tmp_path: Path, postgres_server: PostgresServer, postgres_url: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr("service.jobs.runner.LeasedRunner.renews_every_s", 0.02)
    end = threading.Event()

    def work(job: RunningJob) -> dict[str, Any]:
        assert end.wait(60)
        return {}

    lane = Lane(stores[0], {"work": Working(work)}, tmp_path / "jobs")
    job = stores[0].create("work", {"kind": "work"})
    lane.start()
    reaches(stores[1], job, "running")
    let_leases_run_out(postgres_server, postgres_url)
    valid = "SELECT until > now() AT TIME ZONE 'UTC' FROM job_leases"
    give_up = time.monotonic() + 60
    while postgres_server.execute(valid, url=postgres_url) != [(True,)]:
        assert time.monotonic() < give_up
    end.set()
    assert reaches(stores[1], job, "done", "failed").state == "done"
    lane.stop()
    lane.join()
    assert postgres_server.execute(valid, url=postgres_url) == []


def test_a_list_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    server = PostgresServer()
    try:
        with closing(open_job_store(tmp_path, server.create_database())) as store:
            job = store.create("work", {})
            server.crash()
            for call in (lambda: store.get(job.id), lambda: store.create("work", {}), store.claim):
                with pytest.raises(JobStoreAwayError, match="the list of jobs cannot be"):
                    call()
            server.start()
            assert claimed(store).id == job.id
    finally:
        server.remove()
