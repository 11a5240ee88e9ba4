"""Deletes what is older than the rule keeps it, in the background, a few records at a time."""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

from starlette.datastructures import State

from index.gallery.errors import GalleryError, ReplacedError
from index.gallery.gallery import Gallery
from index.gallery.retention import Expired, Retention
from service.audit.audit_log import AuditLog
from service.audit.audit_store import AuditStoreError
from service.audit.entry import MAX_IDS, Entry
from service.instruments.instruments import Instruments
from service.jobs.background import step_back

_LOG = logging.getLogger(__name__)

ACTOR: Final = "retention"
"""Who the audit log says it was, and the action."""

_EVERY_S: Final = 3600.0
_LOOK_EVERY_S: Final = 1.0
# Between two batches, so that requests that write get their turn: the gallery's lock is not fair.
_PAUSE_S: Final = 0.02
_CLOSE_S: Final = 10.0
# The trash is emptied in so many steps, because nothing is written meanwhile: by the first digits of the files' names.
_SHELVES: Final = [f"{number:02x}" for number in range(256)]

T = TypeVar("T")


class RetentionSweeps:
    """Sweeps the gallery that serves once the service is ready, and then every hour.

    A deletion is announced to the audit log first, as every other: where that is not written, nothing is deleted. Each
    batch is one transaction, and recorded with its ids.
    """

    def __init__(
        self,
        rule: str,
        state: State,
        audit_log: AuditLog,
        instruments: Instruments,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Starts nothing yet.

        Args:
            rule: as `Retention.parse` reads it.
            state: of the application; its `engine` is what serves.
            audit_log: of the service.
            instruments: that count what was deleted.
            now: the clock.
        """
        self._rule, self._retention = rule, Retention.parse(rule)
        self._state, self._audit_log, self._instruments, self._now = state, audit_log, instruments, now
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Begins, as soon as the service is ready."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the batch that is under way; the next start goes on."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_S)

    def sweep(self) -> int:
        """Deletes what is too old now; how many records.

        Raises:
            AuditStoreError: it cannot be recorded, so that nothing more is deleted.
            GalleryError: the disk refuses.
        """
        expired = self._retention.at(self._now())
        num_deleted = 0
        if num_expired := sum(self._with_gallery(lambda gallery: gallery.count_expired(expired)).values()):
            self._record(None, {"rule": self._rule, "expected": num_expired})
            num_deleted = self._delete(expired)
            _LOG.info("%d records were older than SANET_RETENTION keeps them and are deleted", num_deleted)
        self._empty_trash()
        return num_deleted

    def _delete(self, expired: Expired) -> int:
        swept: Gallery | None = None
        num_deleted = after = 0

        def delete(gallery: Gallery) -> list[str]:
            nonlocal swept, after
            if gallery is not swept:  # the records of another model have other numbers
                swept, after = gallery, 0
            records = gallery.delete_expired(expired, after, MAX_IDS)
            if records:
                after = records[-1].seq
            return [record.id for record in records]

        while not self._stopping.is_set():
            ids = self._with_gallery(delete)
            if not ids:
                break
            num_deleted += len(ids)
            self._instruments.expired_records.inc(len(ids))
            try:
                self._record(200, {"deleted": len(ids), "ids": ids})
            except AuditStoreError:
                _LOG.error("deleted, and not in the audit log: %s", " ".join(ids))
                raise
            self._stopping.wait(_PAUSE_S)
        return num_deleted

    def _empty_trash(self) -> None:
        if self._retention.trash_days is None:
            return
        num_removed = 0
        kept = timedelta(days=self._retention.trash_days)
        for shelf in _SHELVES:
            if self._stopping.is_set():
                break
            num_removed += self._with_gallery(partial(Gallery.empty_trash, older_than=kept, shelf=shelf))
        if num_removed:
            self._record(200, {"rule": self._rule, "removed_files": num_removed})
            _LOG.info("%d image files of the trash were older than SANET_RETENTION keeps them", num_removed)

    def _with_gallery(self, work: Callable[[Gallery], T]) -> T:
        """What `work` gives, with the gallery that serves, which is not closed meanwhile.

        Raises:
            ReplacedError: the service is being stopped.
        """
        while True:
            lease = self._state.engine.serving.lease()
            try:
                return work(lease.engine.gallery)
            except ReplacedError:
                if lease.engine is self._state.engine:
                    raise
            finally:
                lease.release()

    def _record(self, status: int | None, facts: dict[str, Any]) -> None:
        self._audit_log.write(Entry(ACTOR, ACTOR, status=status, facts=facts)).result()

    def _run(self) -> None:
        step_back()
        while self._state.engine is None:
            if self._stopping.wait(_LOOK_EVERY_S):
                return
        while not self._stopping.is_set():
            try:
                self.sweep()
            except (GalleryError, AuditStoreError) as error:
                self._fail(error)
            except Exception as error:  # the next sweep may succeed
                self._fail(error, exc_info=error)
            self._stopping.wait(_EVERY_S)

    def _fail(self, error: Exception, exc_info: Exception | None = None) -> None:
        if self._stopping.is_set():
            return
        self._instruments.failed_sweeps.inc()
        _LOG.error(
            "records that SANET_RETENTION does not keep could not be deleted, which is tried again in an hour: %s",
            error,
            exc_info=exc_info,
        )
