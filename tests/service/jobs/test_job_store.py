import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from index.gallery.errors import CursorError
from service.jobs.errors import JobFinishedError, JobNotFoundError, JobTakenOverError, TooManyJobsError
from service.jobs.job import Job, Rejection, State
from service.jobs.job_store import JobStore
from service.jobs.opening import open_job_store
from tests.postgres_server import PostgresServer
from tests.service.jobs.test_runner import let_leases_run_out


@pytest.fixture
def store(tmp_path: Path, database: str | None) -> Iterator[JobStore]:
    with closing(open_job_store(tmp_path, database)) as store:
        yield store


def advance(store: JobStore, job: Job, num_done: int, *rejected: int, **changes: Any) -> Job:
    values = {"cursor": job.cursor, "report": job.report, "num_total": job.num_total} | changes
    found = [Rejection(row, f"{row}.png", "1,2,3,4" if row % 2 else None, f"reason {row}") for row in rejected]
    return store.advance(job, num_done, rejections=found, **values)


def claimed(store: JobStore) -> Job:
    job = store.claim()
    assert job is not None
    return job


def in_state(store: JobStore, state: State) -> Job:
    job = store.create("import", {"path": "a"})
    if state == "cancelled":
        store.cancel(job.id)
    elif state != "queued":
        assert claimed(store).id == job.id
        if state != "running":
            store.finish(job.id, state, error="no luck" if state == "failed" else None)
    return store.get(job.id)


def test_a_job_goes_through_its_states_and_survives_a_restart(
    tmp_path: Path, database: str | None, postgres_server: PostgresServer
) -> None:
    with closing(open_job_store(tmp_path, database)) as store:
        job = store.create("import", {"path": "ü.csv"}, key="k", num_total=7)
        assert (job.state, job.version, job.num_done, job.num_total, job.cursor) == ("queued", 1, 0, 7, None)
        job = claimed(store)
        assert (job.state, job.num_starts) == ("running", 1)
        job = advance(store, job, 3, 8, 9, cursor={"line": 9}, report={"enrolled": 1})
    with closing(open_job_store(tmp_path, database)) as store:
        assert store.get(job.id) == job
        assert (job.num_done, job.num_rejected, job.cursor, job.report) == (3, 2, {"line": 9}, {"enrolled": 1})
        assert store.claim() is None  # it is called running
        if database is not None:
            let_leases_run_out(postgres_server, database)
        store.requeue_running(is_forgiven=False)
        again = claimed(store)
        assert (again.id, again.cursor, again.num_done_before_run) == (job.id, {"line": 9}, 3)
        assert again.started_at == job.started_at
        store.finish(job.id, "done", report={"enrolled": 5})
        end = store.get(job.id)
        assert (end.state, end.report, end.error, end.parameters) == ("done", {"enrolled": 5}, None, {"path": "ü.csv"})
        assert end.finished_at is not None
        assert end.version == 6  # created, claimed, advanced, put back, claimed, done


def test_jobs_run_in_the_order_in_which_they_came(store: JobStore) -> None:
    ids = [store.create("import", {}).id for _ in range(3)]
    assert [claimed(store).id for _ in range(3)] == ids
    assert store.claim() is None


def test_two_that_claim_at_once_never_get_the_same(store: JobStore) -> None:
    ids = {store.create("import", {}).id for _ in range(40)}
    barrier = threading.Barrier(4)

    def claim_ten() -> list[str]:
        barrier.wait()
        return [claimed(store).id for _ in range(10)]

    with ThreadPoolExecutor(4) as pool:
        found = [id_ for future in [pool.submit(claim_ten) for _ in range(4)] for id_ in future.result()]
    assert len(found) == 40
    assert set(found) == ids


@pytest.mark.parametrize(
    ("state", "then", "cancelling"),
    [("queued", "cancelled", False), ("running", "running", True), ("cancelled", "cancelled", False)],
)
def test_what_has_not_ended_can_be_cancelled(store: JobStore, state: State, then: State, cancelling: bool) -> None:
    job = in_state(store, state)
    for _ in range(2):
        cancelled = store.cancel(job.id)
        assert (cancelled.state, cancelled.cancelling) == (then, cancelling)
    assert store.claim() is None


@pytest.mark.parametrize("state", ["done", "failed"])
def test_what_has_ended_cannot_be_cancelled(store: JobStore, state: State) -> None:
    job = in_state(store, state)
    with pytest.raises(JobFinishedError, match=f"{job.id} is {state}"):
        store.cancel(job.id)
    assert store.get(job.id) == job


def test_the_one_who_runs_a_job_learns_of_its_cancellation_and_a_restart_too(store: JobStore) -> None:
    job = in_state(store, "running")
    store.cancel(job.id)
    assert advance(store, job, 1).cancelling
    store.requeue_running(is_forgiven=False)
    end = store.get(job.id)
    assert (end.state, end.cancelling, end.num_done) == ("cancelled", False, 1)


def test_starts_without_progress_are_counted(store: JobStore) -> None:
    store.create("import", {})
    for number in (1, 2, 3):
        job = claimed(store)
        assert job.num_starts == number
        advance(store, job, 0, cursor={"line": number})  # no progress
        store.requeue_running(is_forgiven=False)
    assert advance(store, claimed(store), 5).num_starts == 0
    store.requeue_running(is_forgiven=False)
    job = claimed(store)
    assert job.num_starts == 1
    store.release(job.id)  # the service was stopped in order
    assert store.get(job.id).state == "queued"
    assert claimed(store).num_starts == 1


def test_the_rate_counts_from_when_the_total_is_known(store: JobStore) -> None:
    store.create("import", {})
    started = claimed(store)
    counting = store.advance(started, 2, cursor=None, report=None, num_total=None, rejections=[])
    assert (counting.run_started_at, counting.num_done_before_run) == (started.run_started_at, 0)
    counted = store.advance(counting, 3, cursor=None, report=None, num_total=9, rejections=[])
    assert counted.run_started_at is not None
    assert started.run_started_at is not None
    assert counted.run_started_at > started.run_started_at
    assert counted.num_done_before_run == 3
    working = store.advance(counted, 5, cursor=None, report=None, num_total=9, rejections=[])
    assert (working.run_started_at, working.num_done_before_run) == (counted.run_started_at, 3)
    assert working.started_at == started.started_at


def test_what_has_ended_changes_no_more(store: JobStore) -> None:
    job = in_state(store, "done")
    for late in (lambda: advance(store, job, 99, cursor=1), lambda: store.release(job.id)):
        with suppress(JobTakenOverError):  # where several may run it, it is told
            late()
        assert store.get(job.id) == job


def test_pages_have_the_newest_first_and_keep_their_place(store: JobStore) -> None:
    ids = [store.create("import" if i % 2 else "evaluate", {}).id for i in range(5)]
    store.cancel(ids[3])
    first = store.page(2, None)
    assert ([job.id for job in first.jobs], first.total) == ([ids[4], ids[3]], 5)
    store.create("import", {})  # while somebody turns the page
    second = store.page(2, first.next_cursor)
    assert [job.id for job in second.jobs] == [ids[2], ids[1]]
    last = store.page(2, second.next_cursor)
    assert ([job.id for job in last.jobs], last.next_cursor) == ([ids[0]], None)
    assert [job.id for job in store.page(9, None, state="cancelled").jobs] == [ids[3]]
    assert [job.id for job in store.page(9, None, kind="evaluate").jobs] == [ids[4], ids[2], ids[0]]
    assert store.page(9, None, kind="evaluate", state="cancelled").total == 0


def test_rejections_come_in_the_order_in_which_they_were_found(store: JobStore) -> None:
    job = in_state(store, "running")
    job = advance(store, job, 2, 30, 4)
    job = advance(store, job, 3, 7)
    first = store.rejections(job.id, 2, None)
    assert first.rejections == [
        Rejection(30, "30.png", None, "reason 30"),
        Rejection(4, "4.png", None, "reason 4"),
    ]
    second = store.rejections(job.id, 2, first.next_cursor)
    assert second.rejections == [Rejection(7, "7.png", "1,2,3,4", "reason 7")]
    assert (first.total, second.next_cursor) == (3, None)


@pytest.mark.parametrize("cursor", ["", "0", "-1", "x", "1.5", "01", "9" * 30, "١"])
def test_a_cursor_that_no_page_gave_is_refused(store: JobStore, cursor: str) -> None:
    job = store.create("import", {})
    with pytest.raises(CursorError):
        store.page(5, cursor)
    with pytest.raises(CursorError):
        store.rejections(job.id, 5, cursor)


def test_a_job_that_is_not_there_is_not_found(store: JobStore) -> None:
    for call in (store.get, store.cancel, lambda id_: store.rejections(id_, 5, None)):
        with pytest.raises(JobNotFoundError, match="there is no job 'nobody'"):
            call("nobody")


def test_the_newest_job_of_a_key_is_found(store: JobStore) -> None:
    assert store.latest("k") is None
    store.create("evaluate", {}, key="k")
    store.finish(claimed(store).id, "done", report={"map": 1})
    newest = store.create("evaluate", {}, key="k")
    store.create("evaluate", {}, key="other")
    found, done = store.latest("k"), store.latest("k", "done")
    assert found is not None
    assert done is not None
    assert (found.id, done.report) == (newest.id, {"map": 1})


def test_more_jobs_than_may_wait_are_refused(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.jobs.job_store.MAX_UNFINISHED", 3)
    jobs = [store.create("import", {}) for _ in range(3)]
    with pytest.raises(TooManyJobsError, match="3 jobs wait or run already"):
        store.create("import", {})
    store.cancel(jobs[1].id)
    store.create("import", {})


def test_an_error_that_is_no_text_is_kept_as_far_as_it_is(store: JobStore) -> None:
    job = in_state(store, "running")
    store.finish(job.id, "failed", error="a\udcff\0" + "b" * 2000)
    error = store.get(job.id).error
    assert error is not None
    assert error.startswith("a\\udcff\\0bbb")
    assert len(error) == 1000
