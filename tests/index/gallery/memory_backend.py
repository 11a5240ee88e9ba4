"""A second backend, as small as the protocols let it be: dictionaries and NumPy."""

import logging
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from index.gallery.errors import DamagedRecordError, GalleryError, RecordNotFoundError
from index.gallery.fields import Fields
from index.gallery.filters import Filter
from index.gallery.record import ModelKey, Record, content_hash
from index.gallery.record_store import Deletion, Row, Tallies
from index.gallery.retention import Expired, ExpiredRecord
from index.gallery.vector_index import Neighbours

_LOG = logging.getLogger(__name__)


class DictWriter:
    def __init__(
        self, rows: dict[int, Record], last_seq: int, aside: dict[str, tuple[Deletion, dict[int, Record]]]
    ) -> None:
        self.rows, self.last_seq, self.aside = rows, last_seq, aside

    def insert(self, record: Record) -> None:
        self.last_seq += 1
        self.rows[self.last_seq] = record

    def update(self, record: Record) -> int:
        for seq, old in self.rows.items():
            if old.id == record.id:
                self.rows[seq] = replace(old, fields=record.fields)
                return seq
        raise RecordNotFoundError(record.id)

    def update_fields(self, records: Mapping[int, Record], names: Collection[str]) -> None:
        for seq, record in records.items():
            changes = {name: getattr(record.fields, name) for name in names}
            self.rows[seq] = replace(self.rows[seq], fields=replace(self.rows[seq].fields, **changes))

    def delete(self, seqs: Sequence[int]) -> None:
        for seq in seqs:
            self.rows.pop(seq, None)

    def set_aside(self, seqs: Sequence[int], deletion: Deletion) -> None:
        self.aside[deletion.id] = deletion, {seq: self.rows.pop(seq) for seq in seqs}

    def restore(self, deletion_id: str) -> int:
        deletion, records = self.aside[deletion_id]
        self.aside[deletion_id] = deletion._replace(undone=True), {}
        there = {record.id for record in self.rows.values()}
        back = [record for _, record in sorted(records.items()) if record.id not in there]
        for record in back:
            self.insert(record)
        return len(back)

    def purge(self, now: datetime) -> None:
        for id_, (deletion, _) in list(self.aside.items()):
            if deletion.undo_until <= now:
                del self.aside[id_]


def _most_frequent_first(counted: tuple[str | None, int]) -> tuple[int, bool, str]:
    value, number = counted
    return -number, value is not None, value or ""


class DictStore:
    """Every transaction replaces the dictionary, so that readers keep theirs.

    Attributes:
        broken: the seqs of damaged records.
        found: those of them that were read since it was opened.
    """

    def __init__(self) -> None:
        self.rows: dict[int, Record] = {}
        self.last_seq = 0
        self.aside: dict[str, tuple[Deletion, dict[int, Record]]] = {}
        self.broken: set[int] = set()
        self.found: set[int] = set()

    @property
    def num_damaged(self) -> int:
        return len(self.found)

    @contextmanager
    def transaction(self) -> Iterator[DictWriter]:
        writer = DictWriter(dict(self.rows), self.last_seq, dict(self.aside))
        yield writer
        self.rows, self.last_seq, self.aside = writer.rows, writer.last_seq, writer.aside
        self.broken &= self.rows.keys()
        self.found &= self.rows.keys()

    def get(self, id_: str) -> Record | None:
        for seq in self.seqs_of([id_]):
            if not self._intact([seq]):
                raise DamagedRecordError(f"the record {id_} is damaged")
            return self.rows[seq]
        return None

    def records_of(self, ids: Sequence[str]) -> list[Record]:
        return [record for _, record in self._intact(self.seqs_of(ids))]

    def records_at(self, seqs: Sequence[int]) -> dict[int, Record]:
        return dict(self._intact(seqs))

    def records_after(self, seq: int, model: ModelKey) -> Iterator[tuple[int, Record]]:
        yield from self._intact([key for key, one in self.rows.items() if key > seq and one.model == model])

    def rows_after(self, seq: int, model: ModelKey) -> Iterator[Row]:
        for key, one in self.rows.items():
            if key > seq and one.model == model:
                yield Row(key, one.id, round(one.enrolled_at.timestamp() * 1e6), one.fields)

    def unsearched(self, where: Filter, model: ModelKey) -> list[int]:
        return [seq for seq in self.contents_passing(where) if self.rows[seq].model != model or seq in self.found]

    def count(self) -> int:
        return len(self.rows)

    def deletions(self) -> list[Deletion]:
        return [deletion for deletion, _ in reversed(self.aside.values())]

    def deleted_contents(self, deletion_id: str | None = None) -> set[str]:
        wanted = self.aside.values() if deletion_id is None else [self.aside[deletion_id]]
        return {record.content for _, records in wanted for record in records.values()}

    def num_of_model(self, model: ModelKey) -> int:
        return sum(one.model == model for one in self.rows.values())

    def tallies(self, limit: int) -> Tallies:
        records = list(self.rows.values())
        cameras = Counter(one.fields.camera for one in records)
        identities = Counter(one.fields.identity for one in records)
        models = Counter(one.model for one in records)
        return Tallies(
            len(self.contents()),
            len(cameras.keys() - {None}),
            len(identities.keys() - {None}),
            sorted(cameras.items(), key=_most_frequent_first)[:limit],
            sorted(identities.items(), key=_most_frequent_first)[:limit],
            [(key.fingerprint, key.precision, num) for key, num in models.most_common()],
        )

    def seqs_of(self, ids: Sequence[str]) -> list[int]:
        return [seq for seq, one in self.rows.items() if one.id in ids]

    def contents_of(self, id_: str) -> dict[int, str]:
        return {seq: self.rows[seq].content for seq in self.seqs_of([id_])}

    def contents_passing(self, where: Filter) -> dict[int, str]:
        return {seq: one.content for seq, one in self.rows.items() if where.matches(one)}

    def expired(self, expired: Expired, after: int, limit: int) -> list[ExpiredRecord]:
        seqs = sorted(seq for seq, one in self.rows.items() if seq > after and expired.includes(one))
        return [ExpiredRecord(seq, self.rows[seq].id, self.rows[seq].content) for seq in seqs[:limit]]

    def count_expired(self, expired: Expired) -> dict[str | None, int]:
        return Counter(one.fields.camera for one in self.rows.values() if expired.includes(one))

    def contents(self) -> set[str]:
        return {one.content for one in self.rows.values()}

    def doubtful_contents(self) -> set[str]:
        return {self.rows[seq].content for seq in self.found}

    def named(self, contents: Collection[str]) -> set[str]:
        return self.contents() & set(contents)

    def _intact(self, seqs: Sequence[int]) -> list[tuple[int, Record]]:
        rows = self.rows
        for seq in set(seqs) & self.broken - self.found:
            self.found.add(seq)
            _LOG.error("the record %s is damaged", rows[seq].id)
        return [(seq, rows[seq]) for seq in seqs if seq in rows and seq not in self.broken]


class NumpyIndex:
    def __init__(self) -> None:
        self.problems: list[str] = []
        self.rows: dict[int, Record] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def last_seq(self) -> int:
        return max(self.rows, default=0)

    def add(self, records: Sequence[tuple[int, Record]]) -> None:
        with self._lock:
            self.rows.update(records)

    def update(self, changes: Mapping[int, Fields]) -> None:
        with self._lock:
            for seq, fields in changes.items():
                if seq in self.rows:
                    self.rows[seq] = replace(self.rows[seq], fields=fields)

    def remove(self, seqs: Sequence[int]) -> None:
        with self._lock:
            for seq in seqs:
                self.rows.pop(seq, None)

    def search(
        self,
        queries: NDArray[np.float32],
        top_k: int,
        where: Filter,
        group_by: Literal["identity"] | None = None,
    ) -> list[Neighbours]:
        with self._lock:
            passing = {seq: one for seq, one in self.rows.items() if where.matches(one)}
        results = []
        for query in queries:
            distances = {
                seq: float(np.linalg.norm(one.embedding.astype(np.float64) - query)) for seq, one in passing.items()
            }
            ranked = sorted(passing, key=lambda seq: (distances[seq], passing[seq].id))
            if group_by == "identity":
                nearest: dict[object, int] = {}
                for seq in ranked:
                    identity = passing[seq].fields.identity
                    nearest.setdefault(seq if identity is None else identity, seq)
                ranked = list(nearest.values())
            seqs = ranked[:top_k]
            results.append(Neighbours(np.array(seqs, np.int64), np.array([distances[s] for s in seqs]), len(passing)))
        return results

    def passing(self, where: Filter) -> NDArray[np.int64]:
        with self._lock:
            return np.array([seq for seq, one in self.rows.items() if where.matches(one)], np.int64)


class DictImages:
    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.trash: dict[str, tuple[date, bytes]] = {}

    def contents(self) -> set[str]:
        return set(self.files)

    def absent(self, contents: Iterable[str]) -> set[str]:
        return set(contents) - self.files.keys()

    def get(self, content: str) -> bytes:
        data = self.files.get(content)
        if data is None or content_hash(data) != content:
            raise GalleryError(f"the image {content} is missing or damaged: enrol it again")
        return data

    def put(self, images: Iterable[tuple[str, bytes]]) -> None:
        for content, data in images:
            if content_hash(data) != content:
                raise GalleryError(f"the image {content} changed since it was embedded: send it again")
            self.files[content] = data

    def undo_put(self, contents: Iterable[str]) -> None:
        for content in contents:
            self.files.pop(content, None)

    def discard(self, contents: Iterable[str]) -> None:
        for content in contents:
            if content in self.files:
                self.trash[content] = (datetime.now(UTC).date(), self.files.pop(content))

    def take_back(self, content: str) -> bool:
        if content not in self.trash:
            return False
        self.files[content] = self.trash.pop(content)[1]
        return True

    def contents_of_trash(self, older_than: timedelta, shelf: str = "*") -> set[str]:
        last_day = (datetime.now(UTC) - older_than).date()
        return {content for content, (day, _) in self.trash.items() if day <= last_day and shelf in ("*", content[:2])}

    def empty_trash(self, older_than: timedelta, kept: Collection[str], shelf: str = "*") -> int:
        expired = self.contents_of_trash(older_than, shelf) - set(kept)
        for content in expired:
            del self.trash[content]
        return len(expired)
