"""The gallery of one machine: SQLite and image files are the truth, FAISS in memory is derived from them."""

import dataclasses
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

import filelock
import numpy as np
from numpy.typing import NDArray

from index.embedded.disk import disk_errors
from index.embedded.exact_search import ExactSearch
from index.embedded.image_store import ImageStore
from index.embedded.record_store import RecordStore
from index.gallery.fields import Fields, FieldsError, shorten
from index.gallery.filters import Filter
from index.gallery.gallery import (
    CursorError,
    Enrolled,
    Enrolment,
    GalleryError,
    Page,
    RecordNotFoundError,
    SearchResult,
    Stats,
)
from index.gallery.kept_images import KeptImages
from index.gallery.record import ModelKey, Record
from index.gallery.record_search import search_records

_LOG = logging.getLogger(__name__)

# Records brought into the index at once: 40 MB of embeddings.
_LOAD_CHUNK: Final = 4096


class GalleryLockedError(GalleryError):
    """Another process owns the data folder."""


class EmbeddedGallery:
    """Implements `index.gallery.gallery.Gallery` in a folder that one process owns.

    Every write goes to disk first. The index then catches up from the store by the same code that fills it at
    start-up, so that a crash at any point leaves nothing to repair.
    """

    def __init__(self, data_dir: Path, model: ModelKey, embedding_dim: int) -> None:
        """Opens or creates the folder and loads the embeddings of `model`. Removes nothing.

        Raises:
            GalleryLockedError: another process has it open.
            GalleryError: another version of this program wrote it, or it cannot be read or written.
        """
        self.model = model
        self._embedding_dim = embedding_dim
        self._writing = threading.Lock()
        # A step that fails closes what the steps before it have opened.
        with ExitStack() as opened, disk_errors(data_dir):
            data_dir.mkdir(parents=True, exist_ok=True)
            self._owner = _own(data_dir)
            opened.callback(self._owner.release)
            files = ImageStore(data_dir / "images", data_dir / "trash")
            self._store = RecordStore(data_dir / "gallery.sqlite", may_create=files.is_empty())
            opened.callback(self._store.close)
            files.discard_unfinished()
            self._index = ExactSearch(embedding_dim)
            self._catch_up()
            self._images = KeptImages(files, self._store)
            self._num_stale = -1
            self._count_stale()
            self._opened = opened.pop_all()

    @property
    def num_searchable(self) -> int:
        """Records that a search without conditions sees."""
        return len(self._index)

    @property
    def num_stale(self) -> int:
        """Records of other models: kept, not searched. Cheap enough for every request."""
        return self._num_stale

    @property
    def num_damaged(self) -> int:
        """Records found so far to be damaged. Cheap enough for every request."""
        return len(self._store.damaged)

    @property
    def num_damaged_images(self) -> int:
        """Image files found so far to be missing or damaged. Cheap enough for every request."""
        return len(self._images.damaged)

    def known(self, ids: Sequence[str]) -> dict[str, Record]:
        """Those of the ids that this model has already embedded."""
        return {record.id: record for _, record in self._store.find_in("id", ids) if record.model == self.model}

    def enrol(self, enrolments: Sequence[Enrolment]) -> list[Enrolled]:
        """Stores all of them, or none if it raises; they are on disk when it returns, and found by the next search.

        A record that another model embedded is embedded anew and keeps its fields; a damaged one is replaced, and so is
        a lost image.
        """
        for enrolment in enrolments:
            self._check(enrolment.record)
        with self._writing:
            ids = [enrolment.record.id for enrolment in enrolments]
            stored = {record.id: record for _, record in self._store.find_in("id", ids)}
            results: list[Enrolled] = []
            fresh: list[Enrolment] = []
            duplicate_images: dict[str, Callable[[], bytes]] = {}
            for enrolment in enrolments:
                record = enrolment.record
                old = stored.get(record.id)
                differing = () if old is None else tuple(old.fields.differing(record.fields))
                duplicate = old is not None and old.model == self.model
                results.append(Enrolled(record.id, duplicate, differing))
                if duplicate:
                    duplicate_images[record.content] = enrolment.read_image
                else:
                    if old is not None:
                        record = dataclasses.replace(record, fields=old.fields)
                    stored[record.id] = record
                    fresh.append(dataclasses.replace(enrolment, record=record))
            for enrolment in fresh:
                duplicate_images.pop(enrolment.record.content, None)
            self._images.restore(duplicate_images)
            if fresh:
                self._insert(fresh)
            # Also without anything fresh: an enrolment may have failed between its commit and this.
            self._catch_up()
            return results

    def search(
        self,
        embedding: NDArray[np.float32],
        top_k: int,
        where: Filter,
        group_by: Literal["identity"] | None = None,
    ) -> SearchResult:
        """The nearest records of an embedding (D,); with `group_by`, the nearest of each identity.

        A record without an identity is a group of its own.
        """
        return search_records(self._index, self._store, self.model, embedding, top_k, where, group_by)

    def get(self, id_: str) -> Record:
        """One record.

        Raises:
            RecordNotFoundError: there is none with this id.
            DamagedRecordError: it is not as it was written.
        """
        record = self._store.get(id_)
        if record is None:
            raise RecordNotFoundError(f"there is no record {shorten(id_)} in the gallery")
        return record

    def image(self, record: Record) -> bytes:
        """The bytes of the image file that the record was enrolled with.

        Raises:
            RecordNotFoundError: the record was deleted in the meantime.
            GalleryError: the file is gone or damaged.
        """
        try:
            return self._images.get(record.content)
        except GalleryError:
            with self._writing:
                self.get(record.id)
                return self._images.recover(record.content)

    def page(self, where: Filter, limit: int, cursor: str | None) -> Page:
        """At most `limit` records that pass the filter, in the order of enrolment, after the cursor.

        Raises:
            CursorError: a cursor that no page gave.
        """
        after = 0 if cursor is None else self._seq_of(cursor)
        seqs = self._store.page(where, after, limit + 1)
        records = dict(self._store.find_in("seq", seqs[:limit]))
        return Page(
            [records[seq] for seq in seqs[:limit] if seq in records and where.matches(records[seq])],
            _cursor(seqs[limit - 1]) if len(seqs) > limit else None,
            self._store.count(where),
        )

    def update(self, id_: str, changes: Mapping[str, Any]) -> Record:
        """Changes some of the user's fields, by name; the others stay.

        Raises:
            RecordNotFoundError: there is none with this id.
            FieldsError: an unknown field, or the fields would contradict each other.
        """
        unknown = changes.keys() - {field.name for field in dataclasses.fields(Fields)}
        if unknown:
            raise FieldsError(f"there is no field {', '.join(sorted(unknown))}")
        with self._writing:
            record = self.get(id_)
            record = dataclasses.replace(record, fields=dataclasses.replace(record.fields, **changes))
            with self._store.transaction() as writer:
                writer.update(record)
            return record

    def delete(self, id_: str) -> None:
        """Forgets a record, a damaged one too; its image goes to the trash if no other record shows it.

        Raises:
            RecordNotFoundError: there is none with this id.
        """
        if not self._delete("id", id_):
            raise RecordNotFoundError(f"there is no record {shorten(id_)} in the gallery")

    def delete_identity(self, identity: str) -> int:
        """Forgets every record of an identity and says how many there were."""
        return self._delete("identity", identity)

    def stats(self, limit: int) -> Stats:
        """Counts, at most `limit` cameras and identities listed."""
        return Stats(
            total=self._store.count(Filter()),
            searchable=len(self._index),
            damaged=self.num_damaged,
            damaged_images=self.num_damaged_images,
            stray_images=len(self._images.strays),
            num_images=self._store.num_distinct("content"),
            num_cameras=self._store.num_distinct("camera"),
            num_identities=self._store.num_distinct("identity"),
            cameras=self._store.tally("camera", limit),
            identities=self._store.tally("identity", limit),
            models=self._store.tally("fingerprint, precision", limit=100),
        )

    def empty_trash(self, older_than: timedelta) -> int:
        """Removes image files for good that were deleted more than this time ago, to the day; returns how many.

        What a record names and lacks is taken back first.
        """
        with self._writing:
            return self._images.empty_trash(older_than)

    def close(self) -> None:
        """Releases the data folder, after a write that is under way."""
        with self._writing:
            self._opened.close()

    def _check(self, record: Record) -> None:
        if record.model != self.model:
            raise GalleryError(f"this gallery holds embeddings of {self.model}, not of {record.model}")
        if record.embedding.shape != (self._embedding_dim,) or record.embedding.dtype != np.float32:
            raise GalleryError(
                f"an embedding here is {self._embedding_dim} float32 numbers, not {record.embedding.shape} "
                f"{record.embedding.dtype}"
            )
        if not np.isfinite(record.embedding).all():
            raise GalleryError(f"the embedding of {record.id} is not finite")

    def _insert(self, enrolments: Sequence[Enrolment]) -> None:
        """Stores records that are not there, or there damaged or of another model, and their images."""
        replaced = self._store.seqs_in("id", [enrolment.record.id for enrolment in enrolments])
        images = {enrolment.record.content: enrolment.read_image for enrolment in enrolments}
        with self._images.stored(images), self._store.transaction() as writer:
            writer.delete(replaced)
            for enrolment in enrolments:
                writer.insert(enrolment.record)
        self._forget(replaced)

    def _delete(self, column: Literal["id", "identity"], value: str) -> int:
        with self._writing:
            # By columns, not by records, so that damaged ones go too.
            contents = self._store.seqs_and_contents(column, value)
            with self._store.transaction() as writer:
                writer.delete(list(contents))
            self._forget(list(contents))
            self._images.discard_unnamed(set(contents.values()))
            return len(contents)

    def _forget(self, seqs: list[int]) -> None:
        """Takes records that the store has deleted out of what is derived from it."""
        self._index.remove(seqs)
        self._store.damaged.difference_update(seqs)
        self._count_stale()

    def _seq_of(self, cursor: str) -> int:
        """The seq that a cursor of `page` stands for."""
        if re.fullmatch("[0-9a-z]{1,13}", cursor):
            seq = int(cursor, 36)
            # One way to write each number, and none that was never given.
            if _cursor(seq) == cursor and 1 <= seq <= self._store.last_seq:
                return seq
        raise CursorError(f"{shorten(cursor)} is no cursor: take next_cursor of the page before, or none")

    def _catch_up(self) -> None:
        """Brings every record of this model that the store has and the index lacks into the index."""
        condition = "fingerprint = ? AND precision = ? AND seq > ?"
        parameters = [self.model.fingerprint, self.model.precision, self._index.last_seq]
        rows = self._store.find(condition, parameters, "ORDER BY seq")
        while chunk := list(islice(rows, _LOAD_CHUNK)):
            seqs = [seq for seq, _ in chunk]
            if sorted({*seqs, self._index.last_seq}) != [self._index.last_seq, *seqs]:
                raise GalleryError(
                    "the gallery's records are stored out of order: restore gallery.sqlite from a backup"
                )
            embeddings = np.stack([record.embedding for _, record in chunk])
            self._index.add(embeddings, seqs, [record.id for _, record in chunk])

    def _count_stale(self) -> None:
        # None stay none: only another model's process adds some.
        if self._num_stale != 0:
            own = self._store.num_of_model(self.model)
            self._num_stale = self._store.count(Filter()) - own


def _own(data_dir: Path) -> filelock.BaseFileLock:
    """The lock of the one process that owns the folder."""
    owner = filelock.FileLock(data_dir / "gallery.lock", thread_local=False)
    try:
        owner.acquire(timeout=0)
    except filelock.Timeout:
        raise GalleryLockedError(
            f"another process has the gallery in {data_dir} open: stop it, or use another data folder"
        ) from None
    return owner


def _cursor(seq: int) -> str:
    return np.base_repr(seq, 36).lower()
