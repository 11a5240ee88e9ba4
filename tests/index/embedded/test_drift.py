"""A gallery that has been changed thousands of times, saved and opened anew in between, is what a dictionary says."""

import random
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from index.embedded.opening import open_gallery
from index.gallery.enrolment import Enrolment
from index.gallery.errors import DeletionUndoneError, OtherNumberError
from index.gallery.filters import Filter, Near
from index.gallery.gallery import Gallery
from index.gallery.record import Record
from index.gallery.record_store import Deletion
from model.box import Box
from tests.index.embedded.enrolling_process import DIM, SIZES
from tests.index.embedded.gallery_oracle import assert_is, settle
from tests.index.naive_search import EVERYTHING
from tests.index.naive_search import ids as ids_of
from tests.index.records import MODEL, enrolment, vector

NOON: Final = datetime(2026, 5, 1, 12, tzinfo=UTC)
FILTERS: Final = (
    EVERYTHING,
    Filter(identity="v1"),
    Filter(cameras=("a", "b"), tags=("day",)),
    Filter(captured_after=NOON + timedelta(minutes=20), attributes=(("colour", "red"),)),
    Filter(source="1.jpg", near=Near(48.5, 11.0, 40_000)),
)
# More are deleted than come while there are more than so many.
MANY: Final = 250


class Drift:
    """Random changes of a gallery and of the dictionary that says what it must be."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng = folder, rng
        self.gallery = self.open()
        self.state: dict[str, Record] = {}
        # What was deleted and is not yet undone, by the deletion's id.
        self.deleted: dict[str, list[Record]] = {}
        self.enrolments: dict[str, Enrolment] = {}
        self.seeds = count()

    def open(self) -> Gallery:
        return open_gallery(self.folder, MODEL, DIM, SIZES, undo_for=timedelta(hours=1))

    def change(self) -> None:
        changes = [self.enrol, self.enrol, self.enrol_again, self.update, self.delete, self.delete_identity]
        changes += [self.update_passing, self.update_many, self.delete_passing, self.undo, self.search_from_record]
        changes += [self.delete, self.delete_many] if len(self.state) > MANY else [self.enrol, self.enrol]
        self.rng.choice(changes)()

    def fields(self) -> dict[str, Any]:
        one_of = self.rng.choice
        return {
            "identity": one_of([None, *(f"v{i}" for i in range(40))]),
            "camera": one_of([None, "a", "b", "c"]),
            "captured_at": one_of([None, NOON + timedelta(minutes=self.rng.randrange(60))]),
            "latitude": 48 + self.rng.random(),
            "longitude": 11.0,
            "tags": one_of([(), ("day",), ("day", "rain"), ("night",)]),
            "source": one_of([None, "1.jpg", "2.jpg"]),
            "attributes": one_of([{}, {"colour": "red"}, {"colour": "blue", "make": "vw"}]),
        }

    def enrol(self) -> None:
        self.enrol_these([self.new() for _ in range(self.rng.randrange(1, 16))])

    def enrol_again(self) -> None:
        """Some that are there or were once, and new ones among them."""
        known = self.rng.sample(list(self.enrolments.values()), min(5, len(self.enrolments)))
        self.enrol_these([*known, self.new()])

    def enrol_these(self, enrolments: list[Enrolment]) -> None:
        self.gallery.enrol(enrolments)
        for one in enrolments:
            self.state.setdefault(one.record.id, one.record)
            self.enrolments[one.record.id] = one

    def new(self) -> Enrolment:
        seed = next(self.seeds)
        # Some embeddings are the same, and so are distances: then the id decides.
        embedding = vector(seed if seed % 5 else seed // 2, DIM)
        return enrolment(seed, frame=seed // 4, box=Box(seed, 0, 9, 9), embedding=embedding, **self.fields())

    def update(self) -> None:
        if self.state:
            id_ = self.rng.choice(list(self.state))
            fields = self.fields()
            changes = {name: fields[name] for name in self.rng.sample(list(fields), 2)} | {"longitude": 11.0}
            changes.setdefault("latitude", 48.0)
            self.gallery.update(id_, changes)
            self.state[id_] = replace(self.state[id_], fields=replace(self.state[id_].fields, **changes))

    def delete(self) -> None:
        for id_ in self.rng.sample(list(self.state), min(4, len(self.state))):
            self.forget(self.gallery.delete(id_), [id_])

    def delete_identity(self) -> None:
        identity = f"v{self.rng.randrange(40)}"
        gone = [id_ for id_, record in self.state.items() if record.fields.identity == identity]
        self.forget(self.gallery.delete_passing(Filter(identity=identity)), gone)

    def forget(self, deletion: Deletion, ids: list[str]) -> None:
        assert deletion.num_records == len(ids)
        gone = [self.state.pop(id_) for id_ in ids]
        if gone:
            self.deleted[deletion.id] = gone

    def passing(self) -> tuple[Filter, list[str]]:
        """A random filter that few records pass, and their ids in the order of the list."""
        some = self.rng.sample(list(self.state), min(6, len(self.state)))
        where = self.rng.choice([Filter(identity=f"v{self.rng.randrange(40)}"), Filter(ids=(*some, "0" * 32))])
        where = replace(where, cameras=self.rng.choice([(), ("a", "b")]))
        return where, [id_ for id_, record in self.state.items() if where.matches(record)]

    def update_passing(self) -> None:
        where, ids = self.passing()
        changes = {"identity": f"v{self.rng.randrange(40)}", "tags": ("day",), "latitude": 48.5, "longitude": 11.0}
        with pytest.raises(OtherNumberError):
            self.gallery.update_passing(where, changes, len(ids) + self.rng.choice([1, 2]))
        assert self.gallery.update_passing(where, changes, len(ids)) == len(ids)
        self.changed(ids, changes)

    def update_many(self) -> None:
        known = self.rng.sample(list(self.enrolments), min(8, len(self.enrolments)))
        changes = {"camera": "c", "source": None, "attributes": {"colour": "red"}}
        there = [id_ for id_ in known if id_ in self.state]
        assert self.gallery.update_many([*known, *known[:2]], changes) == there
        self.changed(there, changes)

    def changed(self, ids: list[str], changes: dict[str, Any]) -> None:
        for id_ in ids:
            self.state[id_] = replace(self.state[id_], fields=replace(self.state[id_].fields, **changes))

    def delete_passing(self) -> None:
        where, ids = self.passing()
        with pytest.raises(OtherNumberError):
            self.gallery.delete_passing(where, len(ids) + 1)
        self.forget(self.gallery.delete_passing(where, len(ids)), ids)

    def undo(self) -> None:
        if not self.deleted:
            return
        id_ = self.rng.choice(list(self.deleted))
        gone = self.deleted.pop(id_)
        back = [record for record in gone if record.id not in self.state]
        undone = self.gallery.undo(id_)
        assert (undone.restored, undone.enrolled_again) == (len(back), len(gone) - len(back))
        self.state |= {record.id: record for record in back}
        with pytest.raises(DeletionUndoneError):
            self.gallery.undo(id_)

    def search_from_record(self) -> None:
        """The record that is asked with is not among the answers; all others are ranked by their distance from it."""
        if self.state:
            own = self.rng.choice(list(self.state.values()))
            where = replace(self.rng.choice(FILTERS), other_than=own.id)
            passing = [record for record in self.state.values() if where.matches(record)]

            def rank(record: Record) -> tuple[float, str]:
                difference = record.embedding.astype(np.float64) - own.embedding
                return float(np.linalg.norm(difference)), record.id

            found = self.gallery.search(own.embedding, 5, where)
            assert ids_of(found) == [record.id for record in sorted(passing, key=rank)[:5]]
            assert found.searched == len(passing)

    def delete_many(self) -> None:
        for _ in range(10):
            self.delete_identity()

    def reopen(self) -> None:
        if self.rng.random() < 0.5:
            settle(self.gallery)
        self.gallery.close()
        self.gallery = self.open()

    def check(self) -> None:
        assert_is(self.gallery, self.state, FILTERS, seed=self.rng.randrange(1 << 30))

        assert [one.id for one in self.gallery.deletions()] == list(self.deleted)[::-1]

    def close(self) -> None:
        self.gallery.close()


@pytest.mark.parametrize("num_changes", [120, pytest.param(4000, marks=pytest.mark.trial)])
def test_after_any_changes_it_is_what_a_dictionary_says(
    tmp_path: Path, num_changes: int, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(Drift(tmp_path / "data", random.Random(num_changes))) as drift:
        for number in range(1, num_changes + 1):
            drift.change()
            if drift.rng.random() < 0.05:
                drift.reopen()
            if number % 40 == 0:
                drift.check()
        drift.reopen()
        drift.check()
    assert (tmp_path / "data" / "snapshot" / "manifest.json").exists()
    assert caplog.records == []
