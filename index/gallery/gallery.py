"""The gallery: what happens to duplicates, records of other models, images and answers, whatever keeps them."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from datetime import timedelta
from itertools import islice
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from index.gallery.answers import Enrolled, Page, SearchResult, Stats
from index.gallery.enrolment import Enrolment, sort_batch
from index.gallery.errors import GalleryError, RecordNotFoundError
from index.gallery.fields import Fields, FieldsError, shorten
from index.gallery.filters import Filter
from index.gallery.image_files import ImageFiles
from index.gallery.kept_images import KeptImages
from index.gallery.paging import read_page
from index.gallery.record import ModelKey, Record
from index.gallery.record_search import search_records
from index.gallery.record_store import RecordStore
from index.gallery.shared_search import SharedSearch
from index.gallery.vector_index import VectorIndex

# Records brought into the index at once: 40 MB of embeddings.
_LOAD_CHUNK: Final = 4096


class Gallery:
    """Records that outlive the process, and exact search over those of one model. Safe to call from any thread.

    Every write goes to the store first. The index then catches up from it by the same code that fills it at start-up,
    so that a crash at any point leaves nothing to repair.
    """

    def __init__(
        self,
        store: RecordStore,
        index: VectorIndex,
        files: ImageFiles,
        model: ModelKey,
        embedding_dim: int,
        opened: ExitStack,
    ) -> None:
        """Brings what the index lacks into it. Removes nothing.

        Args:
            store: the records, of this model and of others.
            index: of the records of this model.
            files: the images of the records.
            model: which embeds what is enrolled and asked here.
            embedding_dim: D of its embeddings.
            opened: what is closed with the gallery; if this raises, it is still its owner's to close.
        """
        self.model = model
        self._embedding_dim = embedding_dim
        self._store = store
        self._index = index
        self._shared_search = SharedSearch(index)
        self._writing = threading.Lock()
        self._catch_up()
        self._images = KeptImages(files, store)
        self._num_stale = self._count_stale()
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
        return self._store.num_damaged

    @property
    def num_damaged_images(self) -> int:
        """Image files found so far to be missing or damaged. Cheap enough for every request."""
        return len(self._images.damaged)

    @property
    def index_problems(self) -> Sequence[str]:
        """What of the index was found damaged when it was opened, in words; no record is lost by it."""
        return self._index.problems

    def known(self, ids: Sequence[str]) -> dict[str, Record]:
        """Those of the ids that this model has already embedded."""
        return {record.id: record for record in self._store.records_of(ids) if record.model == self.model}

    def enrol(self, enrolments: Sequence[Enrolment]) -> list[Enrolled]:
        """Stores all of them, or none if it raises; they are durable when it returns, and found by the next search.

        A record that another model embedded is embedded anew and keeps its fields; a damaged one is replaced, and so is
        a lost image.
        """
        for enrolment in enrolments:
            self._check(enrolment.record)
        with self._writing:
            ids = [enrolment.record.id for enrolment in enrolments]
            stored = {record.id: record for record in self._store.records_of(ids)}
            batch = sort_batch(enrolments, stored, self.model)
            self._images.restore(batch.images_of_duplicates)
            if batch.fresh:
                self._insert(batch.fresh)
            # Also without anything fresh: an enrolment may have failed between its commit and this.
            self._catch_up()
            return batch.results

    def search(
        self,
        embedding: NDArray[np.float32],
        top_k: int,
        where: Filter,
        group_by: Literal["identity"] | None = None,
    ) -> SearchResult:
        """The nearest records of an embedding (D,); with `group_by`, the nearest of each identity.

        A record without an identity is a group of its own. Searches that come at the same time share a pass over the
        rows if filter and grouping are the same; no answer depends on it.

        Raises:
            ValueError: an embedding that is not finite or of another size, or `top_k` below 1.
            GalleryError: the gallery is closed.
        """
        return search_records(self._shared_search, self._index, self._store, embedding, top_k, where, group_by)

    def get(self, id_: str) -> Record:
        """One record.

        Raises:
            RecordNotFoundError: there is none with this id.
            DamagedRecordError: it is not as it was written.
        """
        record = self._store.get(id_)
        if record is None:
            raise _not_found(id_)
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
        return read_page(self._index, self._store, self.model, where, limit, cursor)

    def update(self, id_: str, changes: Mapping[str, Any]) -> Record:
        """Changes some of the user's fields, by name; the others stay.

        Raises:
            RecordNotFoundError: there is none with this id.
            FieldsError: an unknown field, or the fields would contradict each other.
        """
        unknown = changes.keys() - {field.name for field in fields(Fields)}
        if unknown:
            raise FieldsError(f"there is no field {', '.join(sorted(unknown))}")
        with self._writing:
            record = self.get(id_)
            record = replace(record, fields=replace(record.fields, **changes))
            with self._store.transaction() as writer:
                seq = writer.update(record)
            self._index.update(seq, record.fields)
            return record

    def delete(self, id_: str) -> None:
        """Forgets a record, a damaged one too; its image goes to the trash if no other record shows it.

        Raises:
            RecordNotFoundError: there is none with this id.
        """
        with self._writing:
            contents = self._store.contents_of(id_)
            if not contents:
                raise _not_found(id_)
            self._delete(contents)

    def delete_identity(self, identity: str) -> int:
        """Forgets every record of an identity and says how many there were."""
        with self._writing:
            contents = self._store.contents_passing(Filter(identity=identity))
            self._delete(contents)
            return len(contents)

    def stats(self, limit: int) -> Stats:
        """Counts, at most `limit` cameras and identities listed."""
        return Stats(
            total=self._store.count(),
            searchable=len(self._index),
            damaged=self.num_damaged,
            damaged_images=self.num_damaged_images,
            stray_images=len(self._images.strays),
            index_problems=tuple(self.index_problems),
            **self._store.tallies(limit)._asdict(),
        )

    def empty_trash(self, older_than: timedelta) -> int:
        """Removes image files for good that were deleted more than this time ago, to the day; returns how many.

        What a record names and lacks is taken back first.
        """
        with self._writing:
            return self._images.empty_trash(older_than)

    def close(self) -> None:
        """Releases what the gallery has open, after a write and a search that are under way; what waits is refused."""
        with self._writing:
            self._shared_search.close()
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
        replaced = self._store.seqs_of([enrolment.record.id for enrolment in enrolments])
        images = {enrolment.record.content: enrolment.read_image for enrolment in enrolments}
        with self._images.stored(images), self._store.transaction() as writer:
            writer.delete(replaced)
            for enrolment in enrolments:
                writer.insert(enrolment.record)
        self._forget(replaced)

    def _delete(self, contents: Mapping[int, str]) -> None:
        """Deletes the records with these seqs; each one's image content tells which images may go with them."""
        seqs = list(contents)
        with self._store.transaction() as writer:
            writer.delete(seqs)
        self._forget(seqs)
        self._images.discard_unnamed(set(contents.values()))

    def _forget(self, seqs: list[int]) -> None:
        """Takes records that the store has deleted out of what is derived from it."""
        self._index.remove(seqs)
        # Nothing is enrolled here for another model: where there were no such records, there are none now.
        if self._num_stale:
            self._num_stale = self._count_stale()

    def _catch_up(self) -> None:
        """Brings every record of this model that the store has and the index lacks into the index."""
        records = self._store.records_after(self._index.last_seq, self.model)
        while chunk := list(islice(records, _LOAD_CHUNK)):
            self._index.add(chunk)

    def _count_stale(self) -> int:
        return self._store.count() - self._store.num_of_model(self.model)


def _not_found(id_: str) -> RecordNotFoundError:
    return RecordNotFoundError(f"there is no record {shorten(id_)} in the gallery")
