"""The gallery of one machine: SQLite and image files are the truth, FAISS in memory is derived from them."""

import dataclasses
import logging
import threading
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

import filelock
import numpy as np
from numpy.typing import NDArray

from index.exact_search import ExactSearch
from index.filters import Filter
from index.gallery import (
    CursorError,
    Enrolled,
    Enrolment,
    GalleryError,
    Match,
    Page,
    RecordNotFoundError,
    SearchResult,
    Stats,
)
from index.image_store import ImageStore
from index.record import Fields, FieldsError, ModelKey, Record
from index.record_store import RecordStore

_LOG = logging.getLogger(__name__)

# Records brought into the index at once: 40 MB of embeddings.
_LOAD_CHUNK: Final = 4096


class GalleryLockedError(GalleryError):
    """Another process owns the data folder."""


class EmbeddedGallery:
    """Implements `index.gallery.Gallery` in a folder that one process owns.

    Every write goes to disk first. The index then catches up from the store by the same code that fills it at
    start-up, so that a crash at any point leaves nothing to repair.
    """

    def __init__(self, data_dir: Path, model: ModelKey, embedding_dim: int) -> None:
        """Opens or creates the folder and loads the embeddings of `model`.

        Raises:
            GalleryLockedError: another process has it open.
            GalleryError: another version of this program wrote it.
        """
        data_dir.mkdir(parents=True, exist_ok=True)
        self.model = model
        self._embedding_dim = embedding_dim
        self._owner = filelock.FileLock(data_dir / "gallery.lock", thread_local=False)
        try:
            self._owner.acquire(timeout=0)
        except filelock.Timeout:
            raise GalleryLockedError(
                f"another process has the gallery in {data_dir} open: stop it, or use another data folder"
            ) from None
        try:
            self._images = ImageStore(data_dir / "images")
            self._store = RecordStore(data_dir / "gallery.sqlite", may_create=not self._images.contents())
            self._index = ExactSearch(embedding_dim)
            self._writing = threading.Lock()
            stray = self._images.sweep(self._store.contents())
            if stray:
                _LOG.info("removed %d image files that no record names", stray)
            self._damaged: set[int] = set()
            self._catch_up()
            self._num_stale = -1
            self._count_stale()
        except BaseException:
            self._owner.release()
            raise

    @property
    def num_searchable(self) -> int:
        """Records that a search without conditions sees."""
        return len(self._index)

    @property
    def num_stale(self) -> int:
        """Records of other models: kept, not searched. Cheap enough for every request."""
        return self._num_stale

    def known(self, ids: Sequence[str]) -> dict[str, Record]:
        """Those of the ids that this model has already embedded."""
        return {record.id: record for _, record in self._store.find_in("id", ids) if record.model == self.model}

    def enrol(self, enrolments: Sequence[Enrolment]) -> list[Enrolled]:
        """Stores all of them, or none if it raises; they are on disk when it returns, and found by the next search.

        A record that another model embedded is embedded anew and keeps its fields; a damaged one is replaced.
        """
        with self._writing:
            ids = [enrolment.record.id for enrolment in enrolments]
            stored_records = {record.id: record for _, record in self._store.find_in("id", ids)}
            present = {id_: record for id_, record in stored_records.items() if record.model == self.model}
            others = {id_: record for id_, record in stored_records.items() if record.model != self.model}
            results: list[Enrolled] = []
            fresh: list[Enrolment] = []
            for enrolment in enrolments:
                record = enrolment.record
                if record.model != self.model:
                    raise GalleryError(f"this gallery holds embeddings of {self.model}, not of {record.model}")
                if record.embedding.shape != (self._embedding_dim,) or record.embedding.dtype != np.float32:
                    raise GalleryError(
                        f"an embedding here is {self._embedding_dim} float32 numbers, not {record.embedding.shape} "
                        f"{record.embedding.dtype}"
                    )
                if not np.isfinite(record.embedding).all():
                    raise GalleryError(f"the embedding of {record.id} is not finite")
                stored = present.get(record.id)
                if stored is None:
                    if (old := others.get(record.id)) is not None:
                        differing = tuple(old.fields.differing(record.fields))
                        record = dataclasses.replace(record, fields=old.fields)
                    else:
                        differing = ()
                    present[record.id] = record
                    fresh.append(dataclasses.replace(enrolment, record=record))
                    results.append(Enrolled(record.id, duplicate=False, differing=differing))
                else:
                    differing = tuple(stored.fields.differing(record.fields))
                    results.append(Enrolled(record.id, duplicate=True, differing=differing))
            if fresh:
                replaced = self._store.seqs_in("id", [e.record.id for e in fresh])
                images = {e.record.content: e.read_image for e in fresh}
                self._images.put((content, read()) for content, read in images.items())
                with self._store.transaction() as writer:
                    writer.delete(replaced)
                    for enrolment in fresh:
                        writer.insert(enrolment.record)
                self._index.remove(replaced)
                self._damaged -= set(replaced)
                self._count_stale()
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
        seqs = None if where == Filter() else self._store.seqs(where)
        num_groups: int | None = None
        gone: set[int] = set()  # deleted, or damaged on disk, since they came into the index
        wanted = top_k
        while True:
            nearest = self._index.search(embedding, wanted, seqs)
            distance = dict(zip(nearest.seq.tolist(), nearest.distance.tolist(), strict=True))
            chosen = [seq for seq in distance if seq not in gone]
            if group_by == "identity":
                chosen = self._nearest_of_each_identity(chosen)
                if len(chosen) < top_k and num_groups is None:
                    num_groups = self._store.num_groups(where)
            if len(chosen) < top_k and wanted < nearest.searched and len(chosen) != num_groups:
                wanted *= 4
                continue
            records = dict(self._store.find_in("seq", chosen[:top_k]))
            if records.keys() == set(chosen[:top_k]):
                return SearchResult([Match(records[seq], distance[seq]) for seq in chosen[:top_k]], nearest.searched)
            gone |= set(chosen[:top_k]) - records.keys()

    def get(self, id_: str) -> Record:
        """One record.

        Raises:
            RecordNotFoundError: there is none with this id.
            DamagedRecordError: it is not as it was written.
        """
        record = self._store.get(id_)
        if record is None:
            raise RecordNotFoundError(f"there is no record {id_!r} in the gallery")
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
            self.get(record.id)
            raise

    def page(self, where: Filter, limit: int, cursor: str | None) -> Page:
        """At most `limit` records that pass the filter, in the order of enrolment, after the cursor.

        Raises:
            CursorError: a cursor that no page gave.
        """
        try:
            after = 0 if cursor is None else int(cursor, 36)
            if not 0 <= after < 2**63:
                raise ValueError
        except ValueError:
            raise CursorError(f"{cursor!r} is no cursor: take next_cursor of the page before, or none") from None
        seqs = self._store.page(where, after, limit + 1)
        records = dict(self._store.find_in("seq", seqs[:limit]))
        return Page(
            [records[seq] for seq in seqs[:limit] if seq in records],
            np.base_repr(seqs[limit - 1], 36).lower() if len(seqs) > limit else None,
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
        """Forgets a record and, if no other record shows it, its image; a damaged record too.

        Raises:
            RecordNotFoundError: there is none with this id.
        """
        if not self._delete("id", id_):
            raise RecordNotFoundError(f"there is no record {id_!r} in the gallery")

    def delete_identity(self, identity: str) -> int:
        """Forgets every record of an identity and says how many there were."""
        return self._delete("identity", identity)

    def stats(self, limit: int) -> Stats:
        """Counts, at most `limit` cameras and identities listed."""
        return Stats(
            total=self._store.count(Filter()),
            searchable=len(self._index),
            damaged=len(self._damaged),
            num_images=self._store.num_distinct("content"),
            num_cameras=self._store.num_distinct("camera"),
            num_identities=self._store.num_distinct("identity"),
            cameras=self._store.tally("camera", limit),
            identities=self._store.tally("identity", limit),
            models=self._store.tally("fingerprint, precision", limit=100),
        )

    def close(self) -> None:
        """Releases the data folder, after a write that is under way."""
        with self._writing:
            self._store.close()
            self._owner.release()

    def _delete(self, column: Literal["id", "identity"], value: str) -> int:
        with self._writing:
            # By columns, not by records, so that damaged ones go too.
            seqs = self._store.seqs_in(column, [value])
            contents = self._store.contents_in("seq", seqs)
            with self._store.transaction() as writer:
                writer.delete(seqs)
            self._index.remove(seqs)
            self._damaged -= set(seqs)
            self._count_stale()
            self._images.discard(contents - self._store.contents_in("content", list(contents)))
            return len(seqs)

    def _catch_up(self) -> None:
        """Brings every record of this model that the store has and the index lacks into the index."""
        condition = "fingerprint = ? AND precision = ? AND seq > ?"
        parameters = [self.model.fingerprint, self.model.precision, self._index.last_seq]
        rows = self._store.find(condition, parameters, "ORDER BY seq", self._damaged)
        while chunk := list(islice(rows, _LOAD_CHUNK)):
            embeddings = np.stack([record.embedding for _, record in chunk])
            self._index.add(embeddings, [seq for seq, _ in chunk], [record.id for _, record in chunk])

    def _nearest_of_each_identity(self, seqs: list[int]) -> list[int]:
        """Of seqs by rising distance, the first of each identity and all without one."""
        identities = self._store.identities_in(seqs)
        first: dict[tuple[str, object], int] = {}
        for seq in seqs:
            if seq in identities:  # not deleted since
                identity = identities[seq]
                first.setdefault(("seq", seq) if identity is None else ("identity", identity), seq)
        return list(first.values())

    def _count_stale(self) -> None:
        # None stay none: only another model's process adds some.
        if self._num_stale != 0:
            own = self._store.num_of_model(self.model)
            self._num_stale = self._store.count(Filter()) - own
