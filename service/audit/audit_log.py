"""Writes the audit log of a service: one thread, which commits together what waits meanwhile."""

import logging
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from service.audit.audit_store import DATABASE, AuditStore, AuditStoreError, keep_from
from service.audit.entry import Entry

_LOG = logging.getLogger(__name__)

_AT_ONCE: Final = 1000
_MAX_WAITING: Final = 20_000
_RETENTION_EVERY_S: Final = 3600.0
_COMPLAIN_EVERY_S: Final = 60.0
_LAST_ENTRIES_S: Final = 10.0

_Job = tuple[Entry, Future[None]]


class AuditLog:
    """Takes entries from any thread. The file is made with the first of them, and entries are removed as they get old.

    Entries that nobody waits for are lost, and the loss is logged, if the disk refuses them.
    """

    def __init__(self, data_dir: Path, days: int, database: str | None = None) -> None:
        """Opens nothing yet.

        Args:
            data_dir: has the log,
            days: for which entries are kept.
            database: which has the log in place of the folder.
        """
        self._data_dir, self._database = data_dir, database
        self._days = days
        self._store: AuditStore | None = None
        self._store_lock = threading.Lock()
        self._jobs: queue.Queue[_Job | None] = queue.Queue(_MAX_WAITING)
        self._thread: threading.Thread | None = None
        self._thread_lock = threading.Lock()
        self._num_lost = 0
        self._complained_at = -_COMPLAIN_EVERY_S

    def write(self, entry: Entry) -> Future[None]:
        """Appends an entry; the future is done when it is durable, or has an AuditStoreError."""
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()  # a request that is broken off does not take its entry back
        try:
            self._started_jobs().put_nowait((entry, future))
        except queue.Full:
            self._fail([(entry, future)], AuditStoreError(f"{_MAX_WAITING:,} entries wait for the audit log's disk"))
        return future

    def store(self) -> AuditStore:
        """The log on disk, to be read; what was written before is in it once its future is done.

        Raises:
            AuditStoreError: it cannot be read or written.
        """
        with self._store_lock:
            if self._store is None:
                try:
                    self._data_dir.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise AuditStoreError(f"the audit log cannot be written: {error}") from None
                self._store = AuditStore(self._data_dir / DATABASE, self._database)
            return self._store

    def close(self) -> None:
        """Writes what waits, for ten seconds at most, and releases the file."""
        with self._thread_lock:
            if self._thread is not None:
                try:
                    self._jobs.put(None, timeout=_LAST_ENTRIES_S / 2)
                    self._thread.join(_LAST_ENTRIES_S / 2)
                except queue.Full:
                    _LOG.error("the audit log's disk does not answer: %d entries are lost", self._jobs.qsize())
                self._thread = None
        with self._store_lock:
            if self._store is not None:
                self._store.close()
                self._store = None

    def _started_jobs(self) -> "queue.Queue[_Job | None]":
        with self._thread_lock:
            if self._thread is None:
                # A daemon: a disk that hangs must not keep the process from ending.
                self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
                self._thread.start()
        return self._jobs

    def _run(self) -> None:
        next_retention = 0.0
        is_open = True
        while is_open:
            jobs, is_open = self._waiting(_RETENTION_EVERY_S)
            if jobs:
                self._append(jobs)
            if is_open and time.monotonic() >= next_retention:
                next_retention = time.monotonic() + _RETENTION_EVERY_S
                self._remove_old()

    def _waiting(self, patience_s: float) -> tuple[list[_Job], bool]:
        """What waits by now, at least one unless nothing comes for so long; and whether more may come."""
        jobs: list[_Job] = []
        try:
            job = self._jobs.get(timeout=patience_s)
            while job is not None and len(jobs) < _AT_ONCE:
                jobs.append(job)
                job = self._jobs.get_nowait()
        except queue.Empty:
            return jobs, True
        if job is not None:
            jobs.append(job)
        return jobs, job is not None

    def _append(self, jobs: Sequence[_Job]) -> None:
        try:
            self.store().append([entry for entry, _ in jobs])
        except AuditStoreError as error:
            self._fail(jobs, error)
            return
        except Exception as error:  # whatever it is, somebody waits for the answer
            self._fail(jobs, AuditStoreError(f"the audit log cannot be written: {error!r}"))
            return
        for _, future in jobs:
            future.set_result(None)

    def _fail(self, jobs: Sequence[_Job], error: AuditStoreError) -> None:
        self._num_lost += len(jobs)
        if time.monotonic() - self._complained_at >= _COMPLAIN_EVERY_S:
            self._complained_at = time.monotonic()
            _LOG.error("%s; %d entries were not written so far", error, self._num_lost)
        for _, future in jobs:
            future.set_exception(error)

    def _remove_old(self) -> None:
        try:
            if num := self.store().remove_before(keep_from(self._days)):
                _LOG.info("%d entries of the audit log were older than %d days and are removed", num, self._days)
        except AuditStoreError as error:
            _LOG.error("%s", error)
        except Exception:  # the thread must go on: requests wait for it
            _LOG.exception("the old entries of the audit log could not be removed")
