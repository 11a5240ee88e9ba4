"""The gallery: what happens to duplicates, records of other models, images and answers, whatever keeps them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from index.gallery.answers import Enrolled, Page, SearchResult, Stats
from index.gallery.catching_up import catch_up
from index.gallery.deletions import Deletions, Undone
from index.gallery.enrolment import Enrolment, sort_batch
from index.gallery.errors import DamagedRecordError, GalleryError, OtherNumberError, RecordNotFoundError
from index.gallery.fields import Fields, FieldsError, shorten
from index.gallery.filters import Filter
from index.gallery.image_files import ImageFiles
from index.gallery.kept_images import KeptImages
from index.gallery.paging import read_page
from index.gallery.record import ModelKey, Record
from index.gallery.record_search import search_records
from index.gallery.record_store import Deletion, RecordStore
from index.gallery.retention import Expired, ExpiredRecord
from index.gallery.shared_search import SharedSearch
from index.gallery.vector_index import Neighbours, VectorIndex
from index.gallery.write_lock import ThreadWriteLock, WriteLock

# Records read at once: 40 MB of embeddings; or so few that whoever takes them need not wait.
_LOAD_CHUNK: Final = 4096
_READ_CHUNK: Final = 64


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
        undo_for: timedelta = timedelta(0),
        writing: WriteLock | None = None,
    ) -> None:
        """Brings what the index lacks into it. Removes nothing but records whose deletion can no longer be undone.

        Args:
            store: the records, of this model and of others.
            index: of the records of this model.
            files: the images of the records.
            model: which embeds what is enrolled and asked here.
            embedding_dim: D of its embeddings.
            opened: what is closed with the gallery; if this raises, it is still its owner's to close.
            undo_for: how long deletions can be undone.
            writing: of all processes that have the gallery open; by default this one has it alone.
        """
        self.model = model
        self._embedding_dim = embedding_dim
        self._store = store
        self._index = index
        self._shared_search = SharedSearch(index)
        self._writing: WriteLock = ThreadWriteLock() if writing is None else writing
        with self._writing:
            self._catch_up()
            self._images = KeptImages(files, store)
            self._deletions = Deletions(store, self._images, undo_for)
            self._deletions.finish_expired()
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
            self._deletions.finish_expired()
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

    def search_many(
        self,
        embeddings: NDArray[np.float32],
        top_k: int,
        where: Filter,
        group_by: Literal["identity"] | None = None,
    ) -> Iterator[SearchResult]:
        """As `search`, for each of the embeddings (Q, D), which share a pass over the rows.

        The records of an answer are read when it is its turn, so that those of all answers need no memory at once.
        """
        found = self._shared_search.search_many(embeddings, top_k, where, group_by)
        for embedding, nearest in zip(embeddings, found, strict=True):
            yield search_records(
                self._shared_search, self._index, self._store, embedding, top_k, where, group_by, nearest
            )

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
            with self._writing.even_if_replaced():
                self.get(record.id)
                return self._images.recover(record.content)

    def page(self, where: Filter, limit: int, cursor: str | None) -> Page:
        """At most `limit` records that pass the filter, in the order of enrolment, after the cursor.

        Raises:
            CursorError: a cursor that no page gave.
        """
        return read_page(self._index, self._store, self.model, where, limit, cursor)

    def seqs(self, where: Filter) -> NDArray[np.int64]:
        """The seqs (N,) of the records that a search with this filter sees, rising: the order of enrolment."""
        return self._index.passing(where)

    def records_at(self, seqs: Sequence[int]) -> dict[int, Record]:
        """By seq, the intact records that are there."""
        return self._store.records_at(seqs)

    def neighbours(self, embedding: NDArray[np.float32], top_k: int, where: Filter) -> Neighbours:
        """As `search`, but by seq, and as the index has them: no record is read, and one may be gone meanwhile."""
        return self._shared_search.search(embedding, top_k, where)

    def update(self, id_: str, changes: Mapping[str, Any]) -> Record:
        """Changes some of the user's fields, by name; the others stay.

        Raises:
            RecordNotFoundError: there is none with this id.
            FieldsError: an unknown field, or the fields would contradict each other.
        """
        _require_known(changes)
        with self._writing:
            record = self.get(id_)
            record = replace(record, fields=replace(record.fields, **changes))
            with self._store.transaction() as writer:
                seq = writer.update(record)
            self._index.update({seq: record.fields})
            return record

    def update_many(self, ids: Sequence[str], changes: Mapping[str, Any]) -> list[str]:
        """Changes some of the user's fields, by name, of all these records at one moment, or of none if it raises.

        The ids of those that were changed, in the order in which they came: one that is not there, or damaged, is not
        among them.

        Raises:
            FieldsError: an unknown field, or the fields of a record would contradict each other.
        """
        _require_known(changes)
        with self._writing:
            seqs = self._store.seqs_of(list(dict.fromkeys(ids)))
            changed = set(self._change(seqs, changes, skip_damaged=True))
            return [id_ for id_ in dict.fromkeys(ids) if id_ in changed]

    def update_passing(self, where: Filter, changes: Mapping[str, Any], expected: int) -> int:
        """Changes some of the user's fields, by name, of every record that passes the filter; says how many there were.

        Raises:
            OtherNumberError: it is not as many as expected; nothing was changed.
            DamagedRecordError: one of them is not as it was written; nothing was changed.
            FieldsError: an unknown field, or the fields of a record would contradict each other.
        """
        _require_known(changes)
        with self._writing:
            seqs = list(self._store.contents_passing(where))
            _require_number(expected, len(seqs))
            return len(self._change(seqs, changes, skip_damaged=False))

    def count(self, where: Filter) -> int:
        """How many records pass the filter, damaged or not: so many an `update_passing` would change."""
        return len(self._store.contents_passing(where))

    def delete(self, id_: str) -> Deletion:
        """Forgets a record, a damaged one too; its image goes to the trash if no other record shows it.

        Raises:
            RecordNotFoundError: there is none with this id.
        """
        with self._writing:
            contents = self._store.contents_of(id_)
            if not contents:
                raise _not_found(id_)
            return self._delete(contents)

    def delete_passing(self, where: Filter, expected: int | None = None) -> Deletion:
        """Forgets every record that passes the filter, damaged ones too, all at one moment.

        Raises:
            OtherNumberError: it is not as many as expected; nothing was deleted.
        """
        with self._writing:
            contents = self._store.contents_passing(where)
            _require_number(len(contents) if expected is None else expected, len(contents))
            return self._delete(contents)

    def count_expired(self, expired: Expired) -> dict[str | None, int]:
        """By camera, how many records `delete_expired` would delete now."""
        return self._store.count_expired(expired)

    def delete_expired(self, expired: Expired, after: int, limit: int) -> list[ExpiredRecord]:
        """Forgets at most `limit` records behind a seq that are too old, damaged ones too; says which, by rising seq.

        This cannot be undone: what a rule says is gone would else be there for as long again as deletions can be
        undone. Their images go to the trash, as with every deletion.
        """
        with self._writing:
            self._deletions.finish_expired()
            records = self._store.expired(expired, after, limit)
            if records:
                self._delete({record.seq: record.content for record in records}, is_final=True)
            return records

    def undo(self, deletion_id: str) -> Undone:
        """Brings back the records of a deletion as they were, but behind all others in the order of enrolment.

        Raises:
            DeletionNotFoundError: there is none that can be undone.
            DeletionUndoneError: it was undone already.
        """
        with self._writing:
            undone = self._deletions.undo(deletion_id)
            self._catch_up()
            self._num_stale = self._count_stale()
            return undone

    def deletions(self) -> list[Deletion]:
        """Those that can be undone, the newest first."""
        return self._deletions.pending()

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

    def empty_trash(self, older_than: timedelta, shelf: str = "*") -> int:
        """Removes image files for good that were deleted more than this time ago, to the day; returns how many.

        What a record names and lacks is taken back first. What a deletion that can be undone needs stays. One shelf
        has the images whose contents begin with these two hexadecimal digits: nothing is written meanwhile, and a whole
        trash may take minutes.
        """
        with self._writing:
            self._deletions.finish_expired()
            return self._images.empty_trash(older_than, shelf)

    def stale_records(self, after: int) -> Iterator[tuple[int, Record]]:
        """(seq, record) of the intact records of other models behind a seq, rising; read as they are asked for."""
        seqs = [seq for seq in self._store.unsearched(Filter(), self.model) if seq > after]
        for start in range(0, len(seqs), _READ_CHUNK):
            records = self._store.records_at(seqs[start : start + _READ_CHUNK])
            yield from ((seq, record) for seq, record in sorted(records.items()) if record.model != self.model)

    def replace_embeddings(self, records: Sequence[Record]) -> None:
        """Stores records of other models as this model has embedded them; they are searched afterwards.

        What was changed of them meanwhile stays so. One that was deleted meanwhile, or embedded, is left as it is.
        """
        for record in records:
            self._check(record)
        with self._writing:
            stored = {record.id: record for record in self._store.records_of([record.id for record in records])}
            fresh = [
                replace(record, fields=stored[record.id].fields)
                for record in records
                if record.id in stored and stored[record.id].model != self.model
            ]
            replaced = self._store.seqs_of([record.id for record in fresh])
            with self._store.transaction() as writer:
                writer.delete(replaced)
                for record in fresh:
                    writer.insert(record)
            self._forget(replaced)
            self._catch_up()

    @contextmanager
    def replacing(self) -> Iterator[None]:
        """Nothing is written while the block runs; nor ever after, if it does not raise: another gallery serves then.

        Searches and reads go on until the gallery is closed. A write raises `ReplacedError`.
        """
        with self._writing:
            yield
            self._writing.set_replaced()

    def close(self) -> None:
        """Releases what the gallery has open, after a write and a search that are under way; what waits is refused."""
        with self._writing.even_if_replaced():
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

    def _delete(self, contents: Mapping[int, str], *, is_final: bool = False) -> Deletion:
        """Deletes the records with these seqs; each one's image content tells which images may go with them."""
        deletion = self._deletions.delete(contents, is_final=is_final)
        self._forget(list(contents))
        self._images.discard_unnamed(set(contents.values()))
        return deletion

    def _change(self, seqs: Sequence[int], changes: Mapping[str, Any], *, skip_damaged: bool) -> list[str]:
        """Changes fields of the records at these seqs, in one transaction; their ids."""
        ids: list[str] = []
        fields_by_seq: dict[int, Fields] = {}
        with self._store.transaction() as writer:
            for start in range(0, len(seqs), _LOAD_CHUNK):
                chunk = seqs[start : start + _LOAD_CHUNK]
                records = self._store.records_at(chunk)
                if len(records) < len(chunk) and not skip_damaged:
                    raise DamagedRecordError(
                        f"{len(chunk) - len(records)} of the records are damaged and cannot be changed: nothing was "
                        "changed; enrol their images again, or delete them"
                    )
                changed = {seq: _with_fields(record, changes) for seq, record in records.items()}
                writer.update_fields(changed, changes.keys())
                ids += [record.id for record in changed.values()]
                fields_by_seq |= {seq: record.fields for seq, record in changed.items()}
        self._index.update(fields_by_seq)
        return ids

    def _forget(self, seqs: list[int]) -> None:
        """Takes records that the store has deleted out of what is derived from it."""
        self._index.remove(seqs)
        # Nothing is enrolled here for another model: where there were no such records, there are none now.
        if self._num_stale:
            self._num_stale = self._count_stale()

    def _catch_up(self) -> None:
        """Brings every record of this model that the store has and the index lacks into the index."""
        catch_up(self._index, self._store, self.model)

    def _count_stale(self) -> int:
        return self._store.count() - self._store.num_of_model(self.model)


def _require_known(changes: Mapping[str, Any]) -> None:
    unknown = changes.keys() - {field.name for field in fields(Fields)}
    if unknown:
        raise FieldsError(f"there is no field {', '.join(sorted(unknown))}")


def _require_number(expected: int, found: int) -> None:
    if expected != found:
        raise OtherNumberError(expected, found)


def _with_fields(record: Record, changes: Mapping[str, Any]) -> Record:
    try:
        return replace(record, fields=replace(record.fields, **changes))
    except FieldsError as error:
        raise FieldsError(f"the record {record.id}: {error}") from None


def _not_found(id_: str) -> RecordNotFoundError:
    return RecordNotFoundError(f"there is no record {shorten(id_)} in the gallery")
