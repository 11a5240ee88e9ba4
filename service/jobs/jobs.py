"""The jobs of a service: what the routes and the engine see of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from index.gallery.fields import shorten
from service.jobs.errors import JobFileNotFoundError
from service.jobs.group_store import GroupStore
from service.jobs.job import Job
from service.jobs.job_folder import result_file
from service.jobs.job_store import JobStore
from service.jobs.kind import JobParameters, Kind
from service.jobs.lane import Lane
from service.jobs.opening import open_job_store


class Jobs:
    """Takes jobs, and runs them in a lane of its own once it is started.

    Attributes:
        store: to read them.
        groups: what was decided on the groups that they propose.
    """

    def __init__(self, data_dir: Path, database: str | None = None) -> None:
        """Opens the store in the data folder, which this process owns; there are no kinds yet, and nothing runs.

        Args:
            data_dir: has the jobs' files, and the list of them,
            database: unless this one has the list.

        Raises:
            OSError, JobStoreError: it cannot be read or written.
        """
        self._kinds: dict[str, Kind[Any]] = {}
        self.store: JobStore = open_job_store(data_dir, database)
        self.groups = GroupStore(self.store.tables)
        self._folder = data_dir / "jobs"
        self._lane = Lane(self.store, self._kinds, self._folder)

    def take_kinds(self, kinds: Sequence[Kind[Any]]) -> None:
        """From now on jobs are created and run by these; the one that runs ends as it began."""
        self._kinds = {kind.name: kind for kind in kinds}
        self._lane.kinds = self._kinds

    @property
    def kind_names(self) -> list[str]:
        """Of the kinds that can be created now."""
        return list(self._kinds)

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
        self.wake()  # of one that waited, something may have been left by an earlier start
        return job

    def wake(self) -> None:
        """Lets the lane see what there is to do, or to tidy up, between two jobs."""
        self._lane.wake()

    def file(self, id_: str, name: str) -> Path:
        """A file that a job has made and that can be downloaded.

        Raises:
            JobNotFoundError: there is no such job.
            JobFileNotFoundError: it has no such file, or it is not done yet.
        """
        job = self.store.get(id_)
        path = result_file(self._folder / job.id, name) if job.state == "done" else None
        if path is None:
            raise JobFileNotFoundError(
                f"the job {job.id} is {job.state} and has no file {shorten(name)}: once it is done, report.files of "
                f"GET /jobs/{job.id} names those that it has made"
            )
        return path

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
