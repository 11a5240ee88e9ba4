"""How good the service is: its model scored on the held-out set, by a job that runs once for each model and set."""

import logging
from dataclasses import dataclass
from typing import Any, Literal

from service.heldout_set import HeldoutSet
from service.jobs.errors import JobStoreError, TooManyJobsError
from service.jobs.job import Job
from service.jobs.jobs import Jobs
from service.jobs.kinds.evaluating import EvaluateParameters

_LOG = logging.getLogger(__name__)

State = Literal["absent", "running", "done", "failed"]


@dataclass(frozen=True)
class HeldoutStatus:
    """Where the evaluation stands.

    Attributes:
        state: ``absent`` if the service has no held-out set; ``running`` also while it waits.
        num_done, num_total: images embedded, and all of them.
        error: why it failed.
        result: what ``training.evaluate --json`` prints, of the last evaluation that is done.
    """

    state: State
    num_done: int = 0
    num_total: int = 0
    error: str | None = None
    result: dict[str, Any] | None = None


class HeldoutEvaluation:
    """The evaluations of this model on this set, among the jobs."""

    def __init__(self, heldout: HeldoutSet | None, jobs: Jobs) -> None:
        self._heldout = heldout
        self._jobs = jobs

    def require(self) -> None:
        """Creates the job if none is done or waits; one that failed or was cancelled is done again."""
        if self._heldout is None:
            return
        latest = self._jobs.store.latest(self._heldout.key)
        is_done = self._jobs.store.latest(self._heldout.key, "done") is not None
        if not is_done and (latest is None or latest.has_ended):
            try:
                self._jobs.create(EvaluateParameters(kind="evaluate"), num_total=len(self._heldout.task.entries))
            except (JobStoreError, TooManyJobsError) as error:  # queries are answered without it
                _LOG.error("the held-out set is not evaluated: %s", error)

    @property
    def status(self) -> HeldoutStatus:
        """As it is stored now."""
        if self._heldout is None:
            return HeldoutStatus("absent")
        latest = self._jobs.store.latest(self._heldout.key)
        done = self._jobs.store.latest(self._heldout.key, "done")
        num_total = len(self._heldout.task.entries)
        result = None if done is None else done.report
        if latest is None:  # one could not be created
            return HeldoutStatus("failed", 0, num_total, "there is no evaluation of this model", result)
        return HeldoutStatus(_state_of(latest), latest.num_done, num_total, _error_of(latest), result)


def _state_of(job: Job) -> State:
    if job.state == "done":
        return "done"
    return "failed" if job.has_ended else "running"


def _error_of(job: Job) -> str | None:
    return "it was cancelled" if job.state == "cancelled" else job.error
