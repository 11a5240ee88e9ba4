"""Deletions that can be undone for a while: what was deleted waits, found by nothing, until its time is over."""

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from index.gallery.errors import DeletionNotFoundError, DeletionUndoneError, GalleryError
from index.gallery.fields import shorten
from index.gallery.kept_images import KeptImages
from index.gallery.record_store import Deletion, RecordStore

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Undone:
    """What an undo did.

    Attributes:
        restored: records that are back, with all that they had; in the order of enrolment they come last now.
        enrolled_again: records whose image had been enrolled again meanwhile: that one stays as it is.
        lost_images: images of restored records that are missing or damaged.
    """

    restored: int
    enrolled_again: int
    lost_images: int


class Deletions:
    """The deletions of a gallery. Its owner lets one thread at a time write, and keeps its index in step."""

    def __init__(self, store: RecordStore, images: KeptImages, undo_for: timedelta) -> None:
        """Deletions can be undone for `undo_for`; with 0 they are final at once."""
        self._store = store
        self._images = images
        self._undo_for = undo_for
        self._next_expiry = self._first_expiry()

    def delete(self, contents: Mapping[int, str], *, is_final: bool = False) -> Deletion:
        """Deletes the records with these seqs; each one's image content tells which images may go with them."""
        self.finish_expired()
        now = datetime.now(UTC)
        can_be_undone = bool(contents and self._undo_for) and not is_final
        until = now + self._undo_for if can_be_undone else now
        deletion = Deletion(secrets.token_hex(16), now, until, len(contents), undone=False)
        with self._store.transaction() as writer:
            if can_be_undone:
                writer.set_aside(list(contents), deletion)
            else:
                writer.delete(list(contents))
        if can_be_undone:
            self._next_expiry = min(until, self._next_expiry or until)
        return deletion

    def undo(self, id_: str) -> Undone:
        """Brings back the records of a deletion, all of them at one moment or, if it raises, none.

        Raises:
            DeletionNotFoundError: there is none that can be undone.
            DeletionUndoneError: it was undone already.
        """
        self.finish_expired()
        deletion = next((one for one in self._store.deletions() if one.id == id_), None)
        # One whose time is over may still be there: of another process, or because it could not be removed yet.
        if deletion is None or (deletion.undo_until <= datetime.now(UTC) and not deletion.undone):
            raise DeletionNotFoundError(
                f"there is no deletion {shorten(id_)} that can be undone: its time is over, or there never was one"
            )
        if deletion.undone:
            raise DeletionUndoneError(f"the deletion {id_} was undone already: its records are back")
        contents = self._store.deleted_contents(id_)
        with self._images.taken_back(contents), self._store.transaction() as writer:
            restored = writer.restore(id_)
        lost = self._images.damaged & contents
        return Undone(restored, deletion.num_records - restored, len(lost))

    def pending(self) -> list[Deletion]:
        """Those that can still be undone, the newest first."""
        now = datetime.now(UTC)
        return [one for one in self._store.deletions() if not one.undone and one.undo_until > now]

    def finish_expired(self) -> None:
        """Removes for good what can no longer be undone. That it cannot be removed is no error: it is tried again."""
        now = datetime.now(UTC)
        # Cheap enough for every write.
        if self._next_expiry is None or self._next_expiry > now:
            return
        try:
            with self._store.transaction() as writer:
                writer.purge(now)
            self._next_expiry = self._first_expiry()
        except GalleryError as error:
            _LOG.error("records that were deleted cannot be removed for good yet: %s", error)

    def _first_expiry(self) -> datetime | None:
        return min((one.undo_until for one in self._store.deletions()), default=None)
