"""The one thread that runs jobs, one after the other, in the order in which they came."""

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from index.gallery.errors import GalleryError
from model.embeddings import EmbeddingError
from service.device import DeviceError, one_line
from service.jobs.background import step_back
from service.jobs.errors import JobNotFoundError, JobStoreError, JobTakenOverError, NotConfiguredError
from service.jobs.job import Job, State
from service.jobs.job_folder import described_results, remove_all_but_results
from service.jobs.job_store import JobStore
from service.jobs.kind import Kind
from service.jobs.running_job import JobInterrupted, RunningJob

_LOG = logging.getLogger(__name__)

# Their messages say all that is to be said; of any other error the log has the traceback.
_EXPECTED: Final = (DeviceError, EmbeddingError, GalleryError, NotConfiguredError, OSError, ValueError)

_MAX_STARTS: Final = 3
_CLOSE_S: Final = 5.0
_RETRY_S: Final = 5.0
# Where other processes create jobs too, or die and leave some.
_LOOK_EVERY_S: Final = 5.0


class Lane:
    """Runs what waits in the store.

    A job that the end of the process interrupts waits again, and goes on from its cursor. One that was started
    `_MAX_STARTS` times without getting any further has failed: it may be what ends the process.

    Attributes:
        kinds: by name; may be replaced by others, which then count for the jobs that begin.
    """

    def __init__(self, store: JobStore, kinds: Mapping[str, Kind[Any]], folder: Path) -> None:
        """Starts nothing yet.

        Args:
            store: where the jobs are.
            kinds: by name.
            folder: in which each job has a folder of its own.
        """
        self.kinds = kinds
        self._store, self._folder = store, folder
        self._running: RunningJob | None = None
        self._changed = threading.Condition()
        self._has_news = True
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self._is_shared = store.renews_every_s is not None
        self._renewing = threading.Thread(target=self._renew, name="job-lease", daemon=True)

    def start(self) -> None:
        """Begins, with the jobs of the last process first."""
        self._thread.start()
        if self._is_shared:
            self._renewing.start()

    def wake(self) -> None:
        """Says that a job was created."""
        with self._changed:
            self._has_news = True
            self._changed.notify_all()

    def interrupt(self, id_: str) -> None:
        """Ends a job at its next step if it is the one that runs; what the store says then counts."""
        with self._changed:
            if self._running is not None and self._running.id == id_:
                self._running.interrupt()

    def stop(self) -> None:
        """Takes no other job, and ends the one that runs at its next step. Does not wait for it."""
        with self._changed:
            self._stopping = True
            if self._running is not None:
                self._running.interrupt()
            self._changed.notify_all()

    def join(self) -> None:
        """Waits a little for the thread to end after `stop`; at the latest the next start puts its job back."""
        for thread in (self._thread, self._renewing):
            if thread.is_alive():
                thread.join(_CLOSE_S)

    def _run(self) -> None:
        step_back()
        is_first = True
        while not self._stopping:
            try:
                # Of an earlier process, which it may have ended; or of this one, when the store failed.
                self._store.requeue_running(is_forgiven=not is_first)
                self._remove_left_folders()
                is_first = False
                self._run_as_they_come()
            except Exception:  # the store itself, such as a full disk. Whatever it is, queries are answered.
                _LOG.exception("the list of jobs cannot be read or written: trying again in %.0f s", _RETRY_S)
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, _RETRY_S)

    def _run_as_they_come(self) -> None:
        while not self._stopping:
            with self._changed:
                self._has_news = False
            self._tidy()
            if self._is_shared:
                self._store.requeue_running(is_forgiven=False)
            job = self._store.claim()
            if job is not None:
                try:
                    self._settle(job)
                except JobTakenOverError as error:
                    _LOG.warning("%s", error)
                continue
            with self._changed:
                look_every_s = _LOOK_EVERY_S if self._is_shared else None
                self._changed.wait_for(lambda: self._has_news or self._stopping, look_every_s)

    def _renew(self) -> None:
        """Says again and again that this process lives, in a thread of its own: a step of a job may take long."""
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._stopping, self._store.renews_every_s):
                    return
            try:
                self._store.renew()
            except JobStoreError as error:
                _LOG.warning("%s", error)

    def _settle(self, job: Job) -> None:
        """Runs a job, and stores how it ended.

        Raises:
            JobStoreError: that cannot be stored.
        """
        kind = self.kinds.get(job.kind)
        if kind is None:
            self._finish(job, "failed", error=f"this service has no jobs of the kind {job.kind}")
        elif job.num_starts > _MAX_STARTS:
            total = "an unknown number" if job.num_total is None else str(job.num_total)
            self._finish(
                job,
                "failed",
                error=f"the service ended {_MAX_STARTS} times while it ran, and it got no further than {job.num_done} "
                f"of {total}: it may be what ends the service",
            )
        else:
            self._run_job(job, kind)

    def _run_job(self, job: Job, kind: Kind[Any]) -> None:
        folder = self._folder_of(job.id)
        folder.mkdir(parents=True, exist_ok=True)
        running = RunningJob(job, self._store, folder)
        with self._changed:
            self._running = running
        try:
            # Whoever stopped or cancelled it before the line above could not find it.
            if self._stopping or self._store.get(job.id).cancelling:
                raise JobInterrupted
            report = kind.run(running, kind.parameters.model_validate(job.parameters))
            report |= described_results(folder, job.id)
        except JobInterrupted:
            if self._store.get(job.id).cancelling:
                self._finish(job, "cancelled")
            else:
                self._store.release(job.id)
        except JobStoreError:
            raise
        except _EXPECTED as error:
            self._finish(job, "failed", error=one_line(error))
        except Exception as error:
            _LOG.exception("the job %s (%s) failed", job.id, job.kind)
            reason = f"an internal error ({type(error).__name__}): the service's log has the reason"
            self._finish(job, "failed", error=reason)
        else:
            self._finish(job, "done", report=report)
        finally:
            with self._changed:
                self._running = None

    def _finish(
        self,
        job: Job,
        state: State,
        *,
        error: str | None = None,
        report: dict[str, Any] | None = None,
    ) -> None:
        self._store.finish(job.id, state, error=error, report=report)
        if error is None:
            _LOG.info("the job %s (%s) is %s", job.id, job.kind, state)
        else:
            _LOG.error("the job %s (%s) failed: %s", job.id, job.kind, error)
        remove_all_but_results(self._folder_of(job.id), state)

    def _tidy(self) -> None:
        """Between two jobs, whatever became of them."""
        for kind in self.kinds.values():
            try:
                kind.tidy()
            except (OSError, GalleryError) as error:
                _LOG.error("what jobs (%s) have left cannot be removed: %s", kind.name, error)

    def _remove_left_folders(self) -> None:
        """Of jobs that had ended when the process was killed."""
        for folder in self._folder.iterdir() if self._folder.exists() else ():
            try:
                job = self._store.get(folder.name)
            except JobNotFoundError:  # not ours
                continue
            if job.has_ended:
                remove_all_but_results(folder, job.state)

    def _folder_of(self, id_: str) -> Path:
        return self._folder / id_
