from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import timedelta

import pytest

from index.gallery.answers import Enrolled
from index.gallery.enrolment import Enrolment
from index.gallery.errors import GalleryError, RecordNotFoundError
from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from index.gallery.record_store import RecordStore, Writer
from tests.index.gallery.backends import Backend
from tests.index.naive_search import EVERYTHING, ids
from tests.index.records import LEFT, RIGHT, enrolment, image, record, vector


def interrupted_in(store: RecordStore) -> Callable[[], AbstractContextManager[Writer]]:
    """A transaction of the store that is interrupted before its commit."""
    transaction = store.transaction

    @contextmanager
    def interrupted() -> Iterator[Writer]:
        with transaction() as writer:
            yield writer
            raise KeyboardInterrupt

    return interrupted


def test_an_image_stays_until_the_last_record_that_shows_it_is_deleted(gallery: Gallery, backend: Backend) -> None:
    left, right = enrolment(1, frame=1, box=LEFT), enrolment(2, frame=1, box=RIGHT)
    gallery.enrol([left, right, enrolment(3)])
    assert backend.images() == {left.record.content, record(3).content}
    gallery.delete(left.record.id)
    assert gallery.image(right.record) == image(1)
    gallery.delete(right.record.id)
    assert backend.images() == {record(3).content}
    with pytest.raises(RecordNotFoundError):
        gallery.image(right.record)


def test_deleting_a_frames_identity_keeps_its_other_vehicles_image(gallery: Gallery, backend: Backend) -> None:
    gallery.enrol([
        enrolment(1, frame=1, box=LEFT, identity="a"),
        enrolment(2, frame=1, box=RIGHT, identity="b"),
        enrolment(3, identity="a"),
    ])  # fmt: skip
    assert gallery.delete_passing(Filter(identity="a")).num_records == 2
    assert backend.images() == {record(2, frame=1).content}


@pytest.mark.parametrize("left", [None, b"other bytes", b"", image(1)[:-1]], ids=["missing", "damaged", "empty", "cut"])
@pytest.mark.parametrize("call", ["enrol", "enrol with others"])
def test_a_lost_image_is_counted_and_comes_back_when_it_is_enrolled_again(
    gallery: Gallery, backend: Backend, caplog: pytest.LogCaptureFixture, left: bytes | None, call: str
) -> None:
    gallery.enrol([enrolment(1, frame=1, box=LEFT), enrolment(2, frame=1, box=RIGHT), enrolment(3)])
    lost = record(1, frame=1, box=LEFT)
    if left is None:
        backend.lose(lost.content)
    else:
        backend.put(lost.content, left)
    for _ in range(2):
        with pytest.raises(GalleryError, match=f"{lost.content} .*: enrol it again"):
            gallery.image(lost)
    assert (gallery.num_damaged_images, gallery.stats(1).damaged_images, len(caplog.messages)) == (1, 1, 1)
    if call == "enrol":
        assert gallery.enrol([enrolment(1, frame=1, box=LEFT)]) == [Enrolled(lost.id, duplicate=True)]
    else:
        gallery.enrol([enrolment(7), enrolment(2, frame=1, box=RIGHT), enrolment(3)])
    assert gallery.image(lost) == image(1)
    assert gallery.num_damaged_images == 0


def test_an_image_is_restored_only_by_its_own_bytes(gallery: Gallery, backend: Backend) -> None:
    gallery.enrol([enrolment(1)])
    backend.lose(record(1).content)
    with pytest.raises(GalleryError, match="changed since it was embedded"):
        gallery.enrol([Enrolment(record(1), lambda: image(2))])
    assert backend.images() == set()


def test_an_image_that_its_operator_puts_back_is_no_longer_counted(gallery: Gallery, backend: Backend) -> None:
    gallery.enrol([enrolment(1)])
    backend.lose(record(1).content)
    with pytest.raises(GalleryError, match="missing"):
        gallery.image(record(1))
    backend.put(record(1).content, image(1))
    assert gallery.image(record(1)) == image(1)
    assert gallery.num_damaged_images == 0


def test_an_interrupted_enrolment_removes_only_the_images_that_it_brought(
    gallery: Gallery, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.enrol([enrolment(1, frame=1, box=LEFT)])
    backend.put(record(2).content, image(2))
    batch = [enrolment(7), enrolment(2), enrolment(3, frame=1, box=RIGHT), enrolment(8)]
    with monkeypatch.context() as patch:
        patch.setattr(gallery._store, "transaction", interrupted_in(gallery._store))
        with pytest.raises(KeyboardInterrupt):
            gallery.enrol(batch)
    assert backend.images() == {record(1, frame=1).content, record(2).content}
    assert [result.duplicate for result in gallery.enrol(batch)] == [False] * 4


def test_an_enrolment_interrupted_after_its_commit_keeps_its_images(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction = gallery._store.transaction

    @contextmanager
    def interrupted_behind() -> Iterator[Writer]:
        with transaction() as writer:
            yield writer
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(gallery._store, "transaction", interrupted_behind)
        with pytest.raises(KeyboardInterrupt):
            gallery.enrol([enrolment(1)])
    assert gallery.image(gallery.get(record(1).id)) == image(1)
    assert gallery.enrol([enrolment(1)]) == [Enrolled(record(1).id, duplicate=True)]
    assert ids(gallery.search(vector(1), 1, EVERYTHING)) == [record(1).id]


def test_lost_images_are_counted_when_the_gallery_is_opened(backend: Backend, caplog: pytest.LogCaptureFixture) -> None:
    with closing(backend.open()) as gallery:
        gallery.enrol([enrolment(seed) for seed in range(3)])
    for seed in range(3):
        backend.lose(record(seed).content)
    with closing(backend.open()) as gallery:
        assert gallery.num_damaged_images == 3
        assert "3 image files of records are missing" in caplog.text
        gallery.enrol([enrolment(0)])
        assert gallery.num_damaged_images == 2
        gallery.delete(record(1).id)
        assert gallery.num_damaged_images == 1


def test_an_image_that_no_record_names_is_kept_and_counted_until_it_is_enrolled(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(backend.open()) as gallery:
        gallery.enrol([enrolment(1), enrolment(2)])
    backend.put(record(3).content, image(3))
    with closing(backend.open()) as gallery:
        assert backend.images() == {record(seed).content for seed in (1, 2, 3)}
        assert gallery.stats(1).stray_images == 1
        assert "1 image files have no record and are kept" in caplog.text
        gallery.enrol([enrolment(3)])
        assert gallery.stats(1).stray_images == 0


def test_a_deleted_image_waits_in_the_trash_and_comes_back_with_its_record(gallery: Gallery, backend: Backend) -> None:
    gallery.enrol([enrolment(1), enrolment(2)])
    gallery.delete(record(1).id)
    assert (backend.images(), backend.trash()) == ({record(2).content}, {record(1).content})
    assert gallery.empty_trash(timedelta(days=2)) == 0
    # A restored record: the store has it, and its image is in the trash.
    with gallery._store.transaction() as writer:
        writer.insert(record(1))
    assert gallery.image(record(1)) == image(1)
    assert (backend.trash(), gallery.num_damaged_images) == (set(), 0)
    gallery.delete(record(1).id)
    assert gallery.empty_trash(timedelta(0)) == 1
    assert backend.trash() == set()


def test_emptying_the_trash_takes_back_what_a_record_lacks(gallery: Gallery, backend: Backend) -> None:
    gallery.enrol([enrolment(1), enrolment(2)])
    for seed in (1, 2):
        gallery.delete(record(seed).id)
    with gallery._store.transaction() as writer:
        writer.insert(record(2))
    assert gallery.empty_trash(timedelta(0)) == 1
    assert (backend.images(), backend.trash()) == ({record(2).content}, set())
