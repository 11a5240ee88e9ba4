"""Deletions that can be undone, over two backends."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import index.gallery.deletions
from index.gallery.deletions import Undone
from index.gallery.errors import DeletionNotFoundError, DeletionUndoneError, GalleryError, RecordNotFoundError
from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from tests.index.gallery.backends import Backend
from tests.index.naive_search import EVERYTHING, ids, listed, naive
from tests.index.records import LEFT, MODEL, OTHER_MODELS, RIGHT, enrolment, image, record, values, vector

HOUR = timedelta(hours=1)
BATCH = [
    enrolment(1, identity="a", camera="north", tags=("red",)),
    enrolment(2, identity="b"),
    enrolment(3, frame=30, box=LEFT, identity="a"),
    enrolment(4, frame=30, box=RIGHT, identity="c"),
    enrolment(5, identity="a", latitude=50.5, longitude=8.0, attributes={"colour": "red"}),
]
OF_A = [BATCH[0], BATCH[2], BATCH[4]]
REST = [BATCH[1], BATCH[3]]


@pytest.fixture
def gallery(backend: Backend) -> Iterator[Gallery]:
    """`BATCH`, in a gallery whose deletions can be undone for an hour."""
    with closing(backend.open(undo_for=HOUR)) as gallery:
        gallery.enrol(BATCH)
        yield gallery


def at(monkeypatch: pytest.MonkeyPatch, later: timedelta) -> None:
    """Sets the clock of the deletions."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + later

    monkeypatch.setattr(index.gallery.deletions, "datetime", Clock)


def test_what_was_deleted_is_found_by_nothing(gallery: Gallery) -> None:
    deletion = gallery.delete_passing(Filter(identity="a"))
    assert (deletion.num_records, deletion.undone) == (3, False)
    assert deletion.undo_until - deletion.deleted_at == HOUR
    assert gallery.deletions() == [deletion]
    assert listed(gallery) == [one.record.id for one in REST]
    assert ids(gallery.search(vector(1), 9, EVERYTHING)) == naive(REST, vector(1), 9)
    assert gallery.known([one.record.id for one in OF_A]) == {}
    stats = gallery.stats(9)
    assert (stats.total, stats.searchable, stats.num_images, stats.stray_images) == (2, 2, 2, 0)
    with pytest.raises(RecordNotFoundError):
        gallery.get(record(1).id)


def test_an_undo_brings_back_everything_as_it_was_behind_all_others(gallery: Gallery, backend: Backend) -> None:
    deletion = gallery.delete_passing(Filter(identity="a"))
    assert gallery.undo(deletion.id) == Undone(restored=3, enrolled_again=0, lost_images=0)
    for one in BATCH:
        assert values(gallery.get(one.record.id)) == values(one.record)
        assert gallery.image(one.record) == one.read_image()
        nearest = gallery.search(one.record.embedding, 1, EVERYTHING).matches
        assert [(match.record.id, match.distance) for match in nearest] == [(one.record.id, 0.0)]
    assert listed(gallery) == [one.record.id for one in (*REST, *OF_A)]
    assert listed(gallery, where=Filter(tags=("red",))) == [record(1).id]
    assert gallery.stats(9).stray_images == 0
    assert (backend.trash(), backend.images()) == (set(), {one.record.content for one in BATCH})
    assert gallery.deletions() == []


def test_an_undo_survives_a_restart_and_so_does_what_it_brought_back(backend: Backend) -> None:
    with closing(backend.open(undo_for=HOUR)) as gallery:
        gallery.enrol(BATCH)
        deletion = gallery.delete(record(1).id)
    with closing(backend.open()) as gallery:  # no new deletion can be undone here, but the old one can
        assert gallery.deletions() == [deletion]
        gallery.undo(deletion.id)
    with closing(backend.open()) as gallery:
        assert values(gallery.get(record(1).id)) == values(record(1, identity="a", camera="north", tags=("red",)))
        assert gallery.image(gallery.get(record(1).id)) == image(1)
        assert listed(gallery) == [one.record.id for one in (*BATCH[1:], BATCH[0])]


def test_a_second_undo_is_refused_and_changes_nothing(gallery: Gallery) -> None:
    deletion = gallery.delete(record(2).id)
    gallery.undo(deletion.id)
    gallery.delete(record(2).id)
    with pytest.raises(DeletionUndoneError, match="undone already"):
        gallery.undo(deletion.id)
    assert record(2).id not in listed(gallery)


@pytest.mark.parametrize("id_", ["", "0" * 32, "' OR 1=1 --"])
def test_an_unknown_deletion_is_none(gallery: Gallery, id_: str) -> None:
    gallery.delete(record(2).id)
    with pytest.raises(DeletionNotFoundError, match="there never was one"):
        gallery.undo(id_)
    assert len(listed(gallery)) == 4


def test_what_was_enrolled_again_stays_as_it_is(gallery: Gallery) -> None:
    deletion = gallery.delete_passing(Filter(identity="a"))
    gallery.enrol([enrolment(1, identity="new")])
    assert gallery.undo(deletion.id) == Undone(restored=2, enrolled_again=1, lost_images=0)
    assert values(gallery.get(record(1).id)) == values(record(1, identity="new"))
    assert sorted(listed(gallery)) == sorted(one.record.id for one in BATCH)


def test_each_deletion_is_undone_by_itself_the_newest_first(gallery: Gallery) -> None:
    deletions = [gallery.delete(one.record.id) for one in BATCH]
    assert gallery.deletions() == deletions[::-1]
    assert listed(gallery) == []
    gallery.undo(deletions[2].id)
    gallery.undo(deletions[4].id)
    assert listed(gallery) == [BATCH[2].record.id, BATCH[4].record.id]
    assert gallery.deletions() == [deletions[3], deletions[1], deletions[0]]


def test_after_its_time_a_deletion_is_final(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    old = gallery.delete(record(1).id)
    at(monkeypatch, timedelta(minutes=59))
    new = gallery.delete(record(2).id)
    assert gallery.deletions() == [new, old]
    at(monkeypatch, timedelta(minutes=61))
    assert gallery.deletions() == [new]
    with pytest.raises(DeletionNotFoundError, match="its time is over"):
        gallery.undo(old.id)
    assert gallery._store.deletions() == [new]
    assert gallery._store.deleted_contents() == {record(2).content}
    gallery.undo(new.id)


def test_opening_makes_expired_deletions_final(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(backend.open(undo_for=HOUR)) as gallery:
        gallery.enrol(BATCH)
        gallery.delete_passing(Filter(identity="a"))
    at(monkeypatch, 2 * HOUR)
    with closing(backend.open(undo_for=HOUR)) as gallery:
        assert (gallery._store.deletions(), gallery._store.deleted_contents()) == ([], set())
        assert listed(gallery) == [one.record.id for one in REST]


def test_without_a_time_a_deletion_is_final_at_once(backend: Backend) -> None:
    with closing(backend.open()) as gallery:
        gallery.enrol(BATCH)
        deletion = gallery.delete(record(1).id)
        assert (deletion.num_records, deletion.undo_until) == (1, deletion.deleted_at)
        assert (gallery.deletions(), gallery._store.deleted_contents()) == ([], set())
        with pytest.raises(DeletionNotFoundError):
            gallery.undo(deletion.id)


def test_a_deletion_of_nothing_is_not_kept(gallery: Gallery) -> None:
    deletion = gallery.delete_passing(Filter(identity="nobody"))
    assert (deletion.num_records, deletion.undo_until) == (0, deletion.deleted_at)
    assert gallery.deletions() == []


def test_emptying_the_trash_spares_what_an_undo_needs(
    gallery: Gallery, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = gallery.delete(record(1).id), gallery.delete(record(2).id)
    gallery.undo(old.id)
    gallery.delete(record(1).id)
    at(monkeypatch, timedelta(minutes=30))
    newest = gallery.delete(BATCH[4].record.id)
    assert gallery.empty_trash(timedelta(0)) == 0
    assert backend.trash() == {record(seed).content for seed in (1, 2, 5)}
    gallery.undo(new.id)
    assert gallery.image(gallery.get(record(2).id)) == image(2)
    at(monkeypatch, timedelta(minutes=70))
    assert gallery.empty_trash(timedelta(0)) == 1  # the image of record 1
    assert backend.trash() == {record(5).content}
    gallery.undo(newest.id)
    assert gallery.image(gallery.get(record(5).id)) == image(5)


def test_an_image_that_another_record_shows_never_leaves(gallery: Gallery, backend: Backend) -> None:
    deletion = gallery.delete(BATCH[2].record.id)
    assert backend.trash() == set()
    gallery.delete(BATCH[3].record.id)
    assert backend.trash() == {record(30).content}
    gallery.undo(deletion.id)
    assert backend.trash() == set()
    assert gallery.image(gallery.get(BATCH[2].record.id)) == image(30)


def test_a_record_whose_image_is_lost_comes_back_without_it(gallery: Gallery, backend: Backend) -> None:
    backend.lose(record(2).content)
    deletion = gallery.delete(record(2).id)
    assert gallery.undo(deletion.id) == Undone(restored=1, enrolled_again=0, lost_images=1)
    assert gallery.stats(0).damaged_images == 1
    gallery.enrol([enrolment(2, identity="b")])
    assert gallery.stats(0).damaged_images == 0


def test_a_damaged_record_comes_back_as_damaged_as_it_was(backend: Backend) -> None:
    with closing(backend.open(undo_for=HOUR)) as gallery:
        gallery.enrol(BATCH)
    backend.damage(2)
    with closing(backend.open(undo_for=HOUR)) as gallery:
        deletion = gallery.delete_passing(Filter(ids=(record(2).id, record(1).id)))
        assert deletion.num_records == 2
        assert gallery.num_damaged == 0
        assert gallery.undo(deletion.id).restored == 2
        assert values(gallery.get(record(1).id)) == values(BATCH[0].record)
        assert gallery.stats(0).total == 5


def test_records_of_other_models_come_back_too(backend: Backend) -> None:
    with closing(backend.open(OTHER_MODELS[0])) as gallery:
        gallery.enrol([enrolment(seed, model=OTHER_MODELS[0], identity="old") for seed in (1, 2)])
    with closing(backend.open(MODEL, undo_for=HOUR)) as gallery:
        gallery.enrol([enrolment(3, identity="old")])
        deletion = gallery.delete_passing(Filter(identity="old"))
        assert (gallery.num_stale, gallery.num_searchable) == (0, 0)
        gallery.undo(deletion.id)
        assert (gallery.num_stale, gallery.num_searchable) == (2, 1)
        assert gallery.get(record(1).id).model == OTHER_MODELS[0]


def test_an_undo_that_fails_leaves_everything_as_it_was(
    gallery: Gallery, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    deletion = gallery.delete_passing(Filter(identity="a"))
    before = backend.trash()
    with gallery._store.transaction() as writer:
        kind = type(writer)

    def failing(*_: object) -> int:
        raise GalleryError("the disk refuses")

    with monkeypatch.context() as patch:
        patch.setattr(kind, "restore", failing)
        with pytest.raises(GalleryError, match="the disk refuses"):
            gallery.undo(deletion.id)
    assert backend.trash() == before
    assert listed(gallery) == [one.record.id for one in REST]
    assert gallery.undo(deletion.id).restored == 3


def test_a_changed_record_comes_back_changed(gallery: Gallery) -> None:
    changed = gallery.update(record(1).id, {"camera": "south"})
    gallery.undo(gallery.delete(record(1).id).id)
    assert values(gallery.get(record(1).id)) == values(
        replace(BATCH[0].record, fields=replace(BATCH[0].record.fields, camera="south"))
    )
    assert changed.fields.camera == "south"
