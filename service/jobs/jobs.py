"""The jobs of a service: what the routes and the engine see of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from service.jobs.embedded_store import open_job_store
from service.jobs.job import Job
from service.jobs.job_store import JobStore
from service.jobs.kind import JobParameters, Kind
from service.jobs.lane import Lane


class Jobs:
    """Takes jobs, and runs them in a lane of its own once it is started.

    Attributes:
        store: to read them.
    """

    def __init__(self, data_dir: Path, kinds: Sequence[Kind[Any]]) -> None:
        """Opens the store in the data folder, which this process owns; nothing runs yet.

        Raises:
            OSError: it cannot be read or written.
        """
        self._kinds = {kind.name: kind for kind in kinds}
        self.store: JobStore = open_job_store(data_dir)
        self._lane = Lane(self.store, self._kinds, data_dir / "jobs")

    def create(self, parameters: JobParameters, *, num_total: int | None = None) -> Job:
        """A new job; durable when this returns.

        Raises:
            NotConfiguredError, UnusableDataError: its kind refuses the parameters.
            TooManyJobsError: too many wait already.
            JobStoreError: the disk refuses it.
        """
        kind = self._kinds[parameters.kind]
        kind.check(parameters)
        values = parameters.model_dump(mode="json", exclude_none=True)
        job = self.store.create(kind.name, values, key=kind.key(parameters), num_total=num_total)
        self._lane.wake()
        return job

    def cancel(self, id_: str) -> Job:
        """Cancels a job, at once or at its next step.

        Raises:
            JobNotFoundError: there is no such job.
            JobFinishedError: it has ended otherwise.
        """
        job = self.store.cancel(id_)
        self._lane.interrupt(id_)
        return job

    def start(self) -> None:
        """Begins to run jobs, the unfinished ones of the last process first."""
        self._lane.start()

    def stop(self) -> None:
        """Ends the job that runs at its next step; it goes on after the next start. Does not wait for it."""
        self._lane.stop()

    def close(self) -> None:
        """After `stop`, waits a little for the job to end, and releases the store."""
        self._lane.join()
        self.store.close()
