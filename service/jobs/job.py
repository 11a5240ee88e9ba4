"""A job: what is to be done, how far it is, and what came of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

State = Literal["queued", "running", "done", "failed", "cancelled"]

FINAL_STATES: Final[tuple[State, ...]] = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Job:
    """A job as it was stored last.

    Attributes:
        seq: rises from job to job.
        parameters: as its kind takes them.
        key: a text by which its kind finds it again.
        cursor: where its kind goes on after a restart; None at the beginning.
        num_done, num_total: in the unit of its kind (rows, images); the total is None until it is known.
        num_rejected: rows that cannot be used; each is a `Rejection`.
        report: what its kind says of it: so far, and at the end.
        error: why it failed, in one line.
        cancelling: it runs, and ends at its next step.
        version: rises with every change.
        num_starts: how often it was started without any progress since.
        started_at: for the first time; `run_started_at` for the last time, from `num_done_before_run` on, or when all
            was counted, if that was later.
        progressed_at: when `num_done` last grew.
    """

    seq: int
    id: str
    kind: str
    parameters: dict[str, Any]
    key: str | None
    state: State
    cursor: Any
    num_done: int
    num_total: int | None
    num_rejected: int
    report: dict[str, Any] | None
    error: str | None
    cancelling: bool
    version: int
    num_starts: int
    created_at: datetime
    started_at: datetime | None
    run_started_at: datetime | None
    num_done_before_run: int
    progressed_at: datetime | None
    finished_at: datetime | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it changes any more."""
        return self.state in FINAL_STATES

    @property
    def rate_per_s(self) -> float | None:
        """Rows or images per second since it was started last; None until there is one."""
        if self.run_started_at is None or self.progressed_at is None or self.progressed_at <= self.run_started_at:
            return None
        rate = (self.num_done - self.num_done_before_run) / (self.progressed_at - self.run_started_at).total_seconds()
        return rate if rate > 0 else None

    @property
    def remaining_s(self) -> float | None:
        """How long it will take at this rate; None if nobody knows, or if it does not run."""
        rate = self.rate_per_s
        if self.state != "running" or self.num_total is None or rate is None:
            return None
        return max(0, self.num_total - self.num_done) / rate


class Rejection(NamedTuple):
    """A row that cannot be used.

    Attributes:
        row: its line in the manifest, from 1; None where there is none.
        name: of its file.
        box: as a text; None for the whole image.
    """

    row: int | None
    name: str
    box: str | None
    reason: str


class JobTally(NamedTuple):
    """All jobs of a kind that are in a state, and what they have done together.

    Attributes:
        run_started_at: when the last of them was started last.
    """

    kind: str
    state: State
    num_jobs: int
    num_done: int
    num_rejected: int
    run_started_at: datetime | None


class JobPage(NamedTuple):
    """Some jobs, the newest first; `next_cursor` is None on the last page, `total` counts all pages."""

    jobs: list[Job]
    next_cursor: str | None
    total: int


class RejectionPage(NamedTuple):
    """Some rejections in the order in which they were found; `next_cursor` is None on the last page."""

    rejections: list[Rejection]
    next_cursor: str | None
    total: int
