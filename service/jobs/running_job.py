"""A job as its kind sees it while it runs."""

import threading
from pathlib import Path
from typing import Any, Final

from service.jobs.job import Job, Rejection
from service.jobs.job_store import JobStore

RESULTS: Final = "results"

_MAX_NAME = 1000
_MAX_REASON = 500


class JobInterrupted(Exception):  # noqa: N818 - nothing is wrong
    """The job ends here: it was cancelled, or the service is being stopped and it goes on after the next start."""


class RunningJob:
    """Where a job stands, and the way to say how far it is. All but `interrupt` belongs to one thread.

    Attributes:
        folder: the job's own, for files that it needs until it ends; it is there.
    """

    def __init__(self, job: Job, store: JobStore, folder: Path) -> None:
        self._job = job
        self._store = store
        self._interrupted = threading.Event()
        self._rejections: list[Rejection] = []
        self.folder = folder

    @property
    def id(self) -> str:
        """The job's."""
        return self._job.id

    @property
    def results(self) -> Path:
        """A folder, which is there, for the files that stay when the job is done, and can be downloaded."""
        results = self.folder / RESULTS
        results.mkdir(exist_ok=True)
        return results

    @property
    def cursor(self) -> Any:
        """What the last `advance` stored; None at the very beginning."""
        return self._job.cursor

    @property
    def num_done(self) -> int:
        """What the last `advance` stored."""
        return self._job.num_done

    @property
    def num_total(self) -> int | None:
        """What the last `advance` stored."""
        return self._job.num_total

    @property
    def report(self) -> dict[str, Any] | None:
        """What the last `advance` stored; None at the beginning."""
        return self._job.report

    def reject(self, row: int | None, name: str, reason: str, box: str | None = None) -> None:
        """Notes a row that cannot be used; it is stored with the next `advance`."""
        name, reason = (
            text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0") for text in (name, reason)
        )
        self._rejections.append(Rejection(row, name[:_MAX_NAME], box, reason[:_MAX_REASON]))

    def advance(
        self,
        num_done: int | None = None,
        *,
        cursor: Any = None,
        report: dict[str, Any] | None = None,
        num_total: int | None = None,
    ) -> None:
        """Stores how far the job is, with what was rejected since the last time, in one transaction.

        What is left out (None) stays as it is. Whatever runs the job again starts from here.
        """
        job = self._job
        self._job = self._store.advance(
            job,
            job.num_done if num_done is None else num_done,
            cursor=job.cursor if cursor is None else cursor,
            report=job.report if report is None else report,
            num_total=job.num_total if num_total is None else num_total,
            rejections=self._rejections,
        )
        self._rejections = []
        if self._job.cancelling:
            self._interrupted.set()

    def interrupt(self) -> None:
        """Makes the job end at its next step; from any thread."""
        self._interrupted.set()

    @property
    def is_interrupted(self) -> bool:
        """Whether it has to end at its next step."""
        return self._interrupted.is_set()

    def raise_if_interrupted(self) -> None:
        """To be called at every step.

        Raises:
            JobInterrupted: the job has to end.
        """
        if self._interrupted.is_set():
            raise JobInterrupted

    def wait(self, seconds: float) -> None:
        """Waits so long, or until the job has to end.

        Raises:
            JobInterrupted: it has to end.
        """
        self._interrupted.wait(seconds)
        self.raise_if_interrupted()
