from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from service.jobs.job import Job

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
RUNNING = Job(
    seq=1,
    id="a",
    kind="import",
    parameters={},
    key=None,
    state="running",
    cursor=None,
    num_done=40,
    num_total=100,
    num_rejected=0,
    report=None,
    error=None,
    cancelling=False,
    version=3,
    num_starts=0,
    created_at=START - timedelta(hours=2),
    started_at=START - timedelta(hours=1),
    run_started_at=START,
    num_done_before_run=10,
    progressed_at=START + timedelta(seconds=15),
    finished_at=None,
)


def test_the_rate_is_that_of_the_present_run() -> None:
    assert RUNNING.rate_per_s == pytest.approx(2)  # 30 in 15 s, although the job began an hour ago
    assert RUNNING.remaining_s == pytest.approx(30)


@pytest.mark.parametrize(
    "changes",
    [
        {"run_started_at": None},
        {"progressed_at": None},
        {"progressed_at": START - timedelta(seconds=1)},  # of the run before
        {"num_done": 10},
    ],
)
def test_without_progress_there_is_no_rate(changes: dict[str, object]) -> None:
    job = replace(RUNNING, **changes)  # type: ignore[arg-type]
    assert (job.rate_per_s, job.remaining_s) == (None, None)


def test_what_does_not_run_or_has_no_total_has_no_time_left() -> None:
    assert replace(RUNNING, num_total=None).remaining_s is None
    assert replace(RUNNING, state="queued").remaining_s is None
    assert replace(RUNNING, num_done=130).remaining_s == 0


@pytest.mark.parametrize(
    ("state", "has_ended"),
    [("queued", False), ("running", False), ("done", True), ("failed", True), ("cancelled", True)],
)
def test_three_states_are_final(state: str, has_ended: bool) -> None:
    assert replace(RUNNING, state=state).has_ended is has_ended  # type: ignore[arg-type]
