import errno
import logging
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index.embedded.disk import disk_errors
from index.embedded.embedded_gallery import EmbeddedGallery, GalleryLockedError
from index.embedded.exact_search import ExactSearch
from index.embedded.image_store import ImageStore
from index.embedded.record_store import RecordStore
from index.embedded.record_table import DamagedRecordError
from index.embedded.record_writer import Writer
from index.gallery.fields import FieldsError
from index.gallery.filters import Filter
from index.gallery.gallery import (
    CursorError,
    Enrolled,
    Enrolment,
    GalleryError,
    GalleryFullError,
    RecordNotFoundError,
    SearchResult,
    Stats,
)
from index.gallery.record import ModelKey, Record
from model.box import Box
from tests.index.records import DIM, MODEL, OTHER_MODELS, enrolment, image, record, tamper, values, vector

EVERYTHING = Filter()
LEFT, RIGHT = Box(0, 0, 30, 40), Box(30, 0, 30, 40)


def opened(folder: Path, model: ModelKey = MODEL) -> EmbeddedGallery:
    return EmbeddedGallery(folder, model, DIM)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def gallery(folder: Path) -> Iterator[EmbeddedGallery]:
    with closing(opened(folder)) as gallery:
        yield gallery


def in_one_frame(seed: int, **changes: Any) -> Enrolment:
    """Many of them cost one image file."""
    return enrolment(seed, frame=0, box=Box(seed, 0, 10, 10), **changes)


def naive(enrolments: list[Enrolment], query: np.ndarray[Any, np.dtype[np.float32]], top_k: int) -> list[str]:
    def distance(one: Enrolment) -> float:
        return float(np.linalg.norm(one.record.embedding.astype(np.float64) - query.astype(np.float64)))

    return [one.record.id for one in sorted(enrolments, key=lambda one: (distance(one), one.record.id))[:top_k]]


def ids(found: SearchResult) -> list[str]:
    return [match.record.id for match in found.matches]


def image_files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "images").rglob("*") if path.is_file()}


def trash_files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "trash").rglob("*") if path.is_file()}


def listed(gallery: EmbeddedGallery, limit: int = 1000, where: Filter = EVERYTHING) -> list[str]:
    """The ids on all pages."""
    found: list[str] = []
    cursor = None
    while True:
        page = gallery.page(where, limit, cursor)
        assert len(page.records) <= limit
        found += [one.id for one in page.records]
        cursor = page.next_cursor
        if cursor is None:
            return found


def assert_is_empty(gallery: EmbeddedGallery) -> None:
    assert gallery.page(EVERYTHING, 10, None).total == 0
    assert gallery.search(vector(0), 10, EVERYTHING) == SearchResult([], 0)
    assert gallery.stats(10).total == 0


def test_what_was_enrolled_is_found_listed_and_given_back(gallery: EmbeddedGallery) -> None:
    enrolments = [enrolment(seed, identity=f"v{seed % 7}", tags=("van",)) for seed in range(60)]
    expected = [Enrolled(one.record.id, duplicate=False) for one in enrolments]
    assert gallery.enrol(enrolments[:40]) + gallery.enrol(enrolments[40:]) == expected
    assert listed(gallery) == [one.record.id for one in enrolments]
    for one in enrolments:
        assert values(gallery.get(one.record.id)) == values(one.record)
        assert gallery.image(one.record) == one.read_image()
        nearest = gallery.search(one.record.embedding, 1, EVERYTHING)
        assert [(match.record.id, match.distance) for match in nearest.matches] == [(one.record.id, 0.0)]
        assert values(nearest.matches[0].record) == values(one.record)
        assert nearest.searched == 60


@pytest.mark.parametrize("top_k", [1, 10, 200, 201, 1000])
@pytest.mark.parametrize("camera", [None, "c3", "nowhere"])
def test_a_search_ranks_what_passes_the_filter(gallery: EmbeddedGallery, top_k: int, camera: str | None) -> None:
    enrolments = [in_one_frame(seed, camera=f"c{seed % 5}") for seed in range(200)]
    gallery.enrol(enrolments)
    passing = [one for one in enrolments if camera in (None, one.record.fields.camera)]
    where = EVERYTHING if camera is None else Filter(cameras=(camera,))
    found = gallery.search(vector(9_999), top_k, where)
    assert ids(found) == naive(passing, vector(9_999), top_k)
    assert found.searched == len(passing)
    assert [match.distance for match in found.matches] == sorted(match.distance for match in found.matches)


def test_enrolling_again_changes_nothing_and_names_the_fields_that_differ(gallery: EmbeddedGallery) -> None:
    time = datetime(2026, 5, 1, tzinfo=UTC)
    first = enrolment(1, identity="a", camera="north", captured_at=time)
    gallery.enrol([first])
    id_ = first.record.id
    again = enrolment(1, identity="b", camera="north", captured_at=time, tags=("van",))
    assert gallery.enrol([first]) == [Enrolled(id_, duplicate=True)]
    assert gallery.enrol([again, enrolment(2)]) == [
        Enrolled(id_, duplicate=True, differing=("identity", "tags")),
        Enrolled(record(2).id, duplicate=False),
    ]
    assert values(gallery.get(id_)) == values(first.record)
    assert listed(gallery) == [id_, record(2).id]


def test_a_record_that_comes_twice_in_one_batch_is_stored_once(gallery: EmbeddedGallery) -> None:
    first, second = enrolment(1, identity="a"), enrolment(1, identity="b")
    id_ = first.record.id
    assert gallery.enrol([first, second, first]) == [
        Enrolled(id_, duplicate=False),
        Enrolled(id_, duplicate=True, differing=("identity",)),
        Enrolled(id_, duplicate=True),
    ]
    assert gallery.get(id_).fields.identity == "a"
    assert gallery.search(vector(1), 5, EVERYTHING).searched == 1


def test_an_image_is_read_once_per_content_and_never_for_a_duplicate(gallery: EmbeddedGallery) -> None:
    read: list[int] = []

    def watched(seed: int, frame: int, box: Box) -> Enrolment:
        def read_image() -> bytes:
            read.append(frame)
            return image(frame)

        return replace(enrolment(seed, frame=frame, box=box), read_image=read_image)

    batch = [watched(1, 1, LEFT), watched(2, 1, RIGHT), watched(3, 3, LEFT), watched(3, 3, LEFT)]
    gallery.enrol(batch)
    assert sorted(read) == [1, 3]
    gallery.enrol([*batch, watched(4, 4, LEFT)])
    assert sorted(read) == [1, 3, 4]


def test_an_image_that_cannot_be_read_stores_nothing(gallery: EmbeddedGallery) -> None:
    def gone() -> bytes:
        raise FileNotFoundError("frame.png")

    with pytest.raises(FileNotFoundError, match="frame"):
        gallery.enrol([enrolment(1), replace(enrolment(2), read_image=gone)])
    assert_is_empty(gallery)
    gallery.enrol([enrolment(1), enrolment(2)])
    assert [gallery.image(record(seed)) for seed in (1, 2)] == [image(1), image(2)]


def test_an_image_that_changed_since_it_was_embedded_is_refused(gallery: EmbeddedGallery) -> None:
    with pytest.raises(GalleryError, match="changed since it was embedded"):
        gallery.enrol([replace(enrolment(1), read_image=lambda: image(2))])


def test_enrolling_nothing_gives_nothing(gallery: EmbeddedGallery, folder: Path) -> None:
    assert gallery.enrol([]) == []
    assert_is_empty(gallery)


def test_known_are_the_records_of_this_model(gallery: EmbeddedGallery) -> None:
    gallery.enrol([enrolment(1), enrolment(2)])
    known = gallery.known([record(2).id, record(3).id])
    assert {id_: values(one) for id_, one in known.items()} == {record(2).id: values(record(2))}
    assert gallery.known([]) == {}


def test_an_unknown_id_is_said_to_be_unknown(gallery: EmbeddedGallery) -> None:
    gallery.enrol([enrolment(1)])
    for call in (gallery.get, gallery.delete, lambda id_: gallery.update(id_, {"camera": "a"})):
        with pytest.raises(RecordNotFoundError, match="no record 'nobody'"):
            call("nobody")
    assert listed(gallery) == [record(1).id]


# --- all or nothing


def _fail_on_the_second_record(monkeypatch: pytest.MonkeyPatch, gallery: EmbeddedGallery) -> None:
    insert, calls = Writer.insert, []

    def failing(self: Writer, one: Record) -> None:
        calls.append(one)
        if len(calls) == 2:
            raise OSError("disk failure")
        insert(self, one)

    monkeypatch.setattr(Writer, "insert", failing)


def _fail_to_write_images(monkeypatch: pytest.MonkeyPatch, gallery: EmbeddedGallery) -> None:
    def failing(self: Path, target: Path) -> Path:
        raise OSError("disk failure")

    monkeypatch.setattr(Path, "replace", failing)


def _fail_after_the_images(monkeypatch: pytest.MonkeyPatch, gallery: EmbeddedGallery) -> None:
    put = ImageStore.put

    def failing(self: ImageStore, images: Iterable[tuple[str, bytes]]) -> None:
        put(self, images)
        raise GalleryError("cannot be read or written: disk failure")

    monkeypatch.setattr(ImageStore, "put", failing)


@pytest.mark.parametrize("fail", [_fail_on_the_second_record, _fail_to_write_images, _fail_after_the_images])
def test_an_enrolment_that_fails_stores_nothing_and_the_next_one_works(
    gallery: EmbeddedGallery, folder: Path, fail: Any
) -> None:
    batch = [enrolment(seed) for seed in range(4)]
    with pytest.MonkeyPatch.context() as patch:
        fail(patch, gallery)
        with pytest.raises(GalleryError, match="cannot be read or written: disk failure"):
            gallery.enrol(batch)
    assert_is_empty(gallery)
    assert image_files(folder) == set()
    assert gallery.enrol(batch) == [Enrolled(one.record.id, duplicate=False) for one in batch]
    assert ids(gallery.search(vector(0), 9, EVERYTHING)) == naive(batch, vector(0), 9)
    assert [gallery.image(one.record) for one in batch] == [one.read_image() for one in batch]


@pytest.fixture
def full(gallery: EmbeddedGallery) -> EmbeddedGallery:
    """Record 1, and room for hardly more."""
    gallery.enrol([enrolment(1)])
    with gallery._store._connection() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    return gallery


def test_an_enrolment_on_a_full_disk_stores_nothing_and_the_next_one_works(full: EmbeddedGallery, folder: Path) -> None:
    batch = [in_one_frame(seed) for seed in range(2, 200)]
    with pytest.raises(GalleryFullError, match="the disk of the gallery is full: nothing of this request was stored"):
        full.enrol(batch)
    assert image_files(folder) == {record(1).content}
    assert listed(full) == [record(1).id]
    assert full.search(vector(1), 9, EVERYTHING).searched == 1
    with full._store._connection() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
    full.enrol(batch)
    assert ids(full.search(vector(1), 9, EVERYTHING)) == naive([enrolment(1), *batch], vector(1), 9)


@pytest.mark.parametrize(
    "wrong",
    [
        *(enrolment(2, model=model) for model in OTHER_MODELS),
        enrolment(2, embedding=vector(2, DIM - 1)),
        enrolment(2, embedding=vector(2, DIM + 1)),
        enrolment(2, embedding=vector(2).reshape(1, DIM)),
    ],
    ids=["fingerprint", "precision", "too short", "too long", "two dimensions"],
)
def test_an_embedding_of_another_model_or_size_is_refused_and_nothing_is_stored(
    gallery: EmbeddedGallery, folder: Path, wrong: Enrolment
) -> None:
    with pytest.raises(GalleryError, match=r"this gallery holds embeddings of|an embedding here is"):
        gallery.enrol([enrolment(1), wrong])
    assert_is_empty(gallery)
    assert image_files(folder) == set()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_embedding_that_is_not_finite_is_refused_and_nothing_is_stored(folder: Path, value: float) -> None:
    with closing(opened(folder)) as gallery:
        with pytest.raises(GalleryError, match="not finite"):
            gallery.enrol([enrolment(1), enrolment(2, embedding=np.full(DIM, value, np.float32))])
        assert_is_empty(gallery)
    opened(folder).close()


# --- reopening


def test_reopening_gives_the_same_answers_bit_for_bit(folder: Path) -> None:
    queries = [vector(seed) for seed in range(1000, 1010)]

    def answers(gallery: EmbeddedGallery) -> list[tuple[list[dict[str, object]], list[float], int]]:
        found = [gallery.search(query, 30, EVERYTHING) for query in queries]
        return [
            ([values(match.record) for match in one.matches], [match.distance for match in one.matches], one.searched)
            for one in found
        ]

    with closing(opened(folder)) as gallery:
        for start in range(0, 90, 30):
            gallery.enrol([enrolment(seed, camera="north") for seed in range(start, start + 30)])
        gallery.delete(record(7).id)
        gallery.update(record(8).id, {"camera": "south"})
        expected, stats, pages = answers(gallery), gallery.stats(9), listed(gallery)
    with closing(opened(folder)) as gallery:
        assert answers(gallery) == expected
        assert gallery.stats(9) == stats
        assert listed(gallery) == pages
        assert [gallery.image(record(seed)) for seed in (0, 89)] == [image(0), image(89)]


def test_more_records_than_are_loaded_at_once_are_all_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.embedded.embedded_gallery._LOAD_CHUNK", 16)
    batch = [in_one_frame(seed) for seed in range(50)]
    with closing(opened(folder)) as gallery:
        gallery.enrol(batch)
        assert ids(gallery.search(vector(99), 50, EVERYTHING)) == naive(batch, vector(99), 50)
    with closing(opened(folder)) as gallery:
        assert ids(gallery.search(vector(99), 50, EVERYTHING)) == naive(batch, vector(99), 50)


@pytest.mark.parametrize("other", OTHER_MODELS, ids=["fingerprint", "precision"])
def test_embeddings_of_another_model_are_kept_but_never_searched(folder: Path, other: ModelKey) -> None:
    with closing(opened(folder, other)) as gallery:
        gallery.enrol([enrolment(seed, model=other, camera="north") for seed in range(3)])
        assert gallery.num_stale == 0
    with closing(opened(folder)) as gallery:
        assert gallery.num_stale == 3
        gallery.enrol([enrolment(7)])
        assert ids(gallery.search(vector(1), 9, EVERYTHING)) == [record(7).id]
        assert gallery.search(vector(1), 9, EVERYTHING).searched == 1
        assert gallery.search(vector(1), 9, Filter(cameras=("north",))) == SearchResult([], 0)
        assert gallery.known([record(1).id, record(7).id]).keys() == {record(7).id}
        assert gallery.get(record(1).id).model == other
        stats = gallery.stats(9)
        assert (stats.total, stats.searchable, stats.damaged) == (4, 1, 0)
        assert stats.models == [(other.fingerprint, other.precision, 3), (MODEL.fingerprint, MODEL.precision, 1)]
        gallery.delete(record(0).id)
        assert gallery.num_stale == 2


@pytest.mark.parametrize("other", OTHER_MODELS, ids=["fingerprint", "precision"])
def test_enrolling_again_replaces_what_another_model_embedded(folder: Path, other: ModelKey) -> None:
    with closing(opened(folder, other)) as gallery:
        gallery.enrol([enrolment(seed, model=other, embedding=vector(seed + 50), camera="c") for seed in range(3)])
    fresh = enrolment(1, identity="new")
    with closing(opened(folder)) as gallery:
        differing = ("identity", "camera")
        assert gallery.enrol([fresh]) == [Enrolled(fresh.record.id, duplicate=False, differing=differing)]
        assert gallery.num_stale == 2
        # Embedded anew; what the user had said of it stays.
        kept = replace(fresh.record, fields=record(1, camera="c").fields)
        assert values(gallery.get(fresh.record.id)) == values(kept)
        assert [match.distance for match in gallery.search(vector(1), 9, EVERYTHING).matches] == [0.0]
        gallery.enrol([enrolment(0), enrolment(2)])
        assert gallery.num_stale == 0
        assert sorted(listed(gallery)) == sorted(record(seed).id for seed in range(3))
        assert gallery.image(fresh.record) == fresh.read_image()
    with closing(opened(folder)) as gallery:
        assert (gallery.num_stale, gallery.stats(1).searchable) == (0, 3)


# --- one owner


def test_a_second_gallery_on_the_folder_is_refused_until_the_first_is_closed(folder: Path) -> None:
    first = opened(folder)
    with pytest.raises(GalleryLockedError, match=f"another process has the gallery in {folder} open: stop it"):
        opened(folder)
    assert first.enrol([enrolment(1)]) == [Enrolled(record(1).id, duplicate=False)]
    first.close()
    with closing(opened(folder)) as gallery:
        assert listed(gallery) == [record(1).id]


def test_a_second_process_on_the_folder_is_refused(gallery: EmbeddedGallery, folder: Path) -> None:
    code = (
        "import sys, pathlib, index.embedded.embedded_gallery as g, index.gallery.record as r\n"
        "try: g.EmbeddedGallery(pathlib.Path(sys.argv[1]), r.ModelKey('x', 'y'), 4)\n"
        "except g.GalleryLockedError as error: sys.exit(str(error))\n"
    )
    process = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)
    assert process.returncode == 1
    assert (
        process.stderr.strip()
        == f"another process has the gallery in {folder} open: stop it, or use another data folder"
    )


def test_a_gallery_that_cannot_be_opened_leaves_the_folder_free(folder: Path) -> None:
    opened(folder).close()
    tamper(folder / "gallery.sqlite", "PRAGMA user_version = 3")
    # Held, and with it the half-opened gallery: no lock may wait for the garbage collector.
    with pytest.raises(GalleryError, match="layout 3") as first:
        opened(folder)
    with pytest.raises(GalleryError, match="layout 3") as second:
        opened(folder)
    assert first.value is not second.value
    tamper(folder / "gallery.sqlite", "PRAGMA user_version = 2")
    opened(folder).close()


def test_a_gallery_that_another_thread_closes_leaves_the_folder_free(folder: Path) -> None:
    gallery = opened(folder)
    try:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(gallery.close).result()
        opened(folder).close()
    finally:
        gallery._owner.release()


# --- images


def test_an_image_stays_until_the_last_record_that_shows_it_is_deleted(gallery: EmbeddedGallery, folder: Path) -> None:
    left, right = enrolment(1, frame=1, box=LEFT), enrolment(2, frame=1, box=RIGHT)
    gallery.enrol([left, right, enrolment(3)])
    assert image_files(folder) == {left.record.content, record(3).content}
    gallery.delete(left.record.id)
    assert gallery.image(right.record) == image(1)
    gallery.delete(right.record.id)
    assert image_files(folder) == {record(3).content}
    with pytest.raises(RecordNotFoundError):
        gallery.image(right.record)


def test_an_image_that_no_record_names_is_kept_and_counted_when_the_gallery_opens(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(opened(folder)) as gallery:
        gallery.enrol([enrolment(1), enrolment(2)])
    ImageStore(folder / "images", folder / "trash").put([(record(3).content, image(3))])
    (folder / "images" / record(1).content[:2] / f"{record(1).content}.tmp").write_bytes(b"unfinished")
    with closing(opened(folder)) as gallery:
        assert image_files(folder) == {record(seed).content for seed in (1, 2, 3)}
        assert gallery.image(record(1)) == image(1)
        assert gallery.stats(1).stray_images == 1
        assert "1 image files have no record and are kept" in caplog.text
        assert trash_files(folder) == {f"{record(1).content}.tmp"}
        gallery.enrol([enrolment(3)])
        assert gallery.stats(1).stray_images == 0


def test_deleting_a_frames_identity_keeps_its_other_vehicles_image(gallery: EmbeddedGallery, folder: Path) -> None:
    gallery.enrol([
        enrolment(1, frame=1, box=LEFT, identity="a"),
        enrolment(2, frame=1, box=RIGHT, identity="b"),
        enrolment(3, identity="a"),
    ])  # fmt: skip
    assert gallery.delete_identity("a") == 2
    assert image_files(folder) == {record(2, frame=1).content}


# --- damage


def damage(folder: Path, seq: int, column: str = "media_type", value: str = "'x'") -> None:
    tamper(folder / "gallery.sqlite", f"UPDATE record SET {column} = {value} WHERE seq = {seq}")


@pytest.fixture
def damaged(folder: Path) -> Iterator[EmbeddedGallery]:
    """Records 0 to 4 (seq 1 to 5), of which record 2 was damaged while the gallery was closed."""
    with closing(opened(folder)) as gallery:
        gallery.enrol([enrolment(seed, identity="a" if seed < 3 else "b") for seed in range(5)])
    damage(folder, 3)
    with closing(opened(folder)) as gallery:
        yield gallery


def test_a_damaged_record_is_left_out_and_counted(damaged: EmbeddedGallery) -> None:
    intact = [enrolment(seed) for seed in (0, 1, 3, 4)]
    found = damaged.search(vector(2), 5, EVERYTHING)
    assert ids(found) == naive(intact, vector(2), 5)
    assert found.searched == 4
    stats = damaged.stats(9)
    assert (stats.total, stats.searchable, stats.damaged) == (5, 4, 1)
    assert damaged.num_stale == 0
    with pytest.raises(DamagedRecordError, match=record(2).id):
        damaged.get(record(2).id)
    with pytest.raises(DamagedRecordError):
        damaged.update(record(2).id, {"camera": "north"})
    assert listed(damaged) == [one.record.id for one in intact]


def test_a_damaged_record_can_be_deleted(damaged: EmbeddedGallery, folder: Path) -> None:
    damaged.delete(record(2).id)
    assert (damaged.stats(9).total, damaged.stats(9).damaged) == (4, 0)
    assert record(2).content not in image_files(folder)
    assert len(image_files(folder)) == 4


def test_a_damaged_record_is_deleted_with_its_identity(damaged: EmbeddedGallery) -> None:
    assert damaged.delete_identity("a") == 3
    assert sorted(listed(damaged)) == sorted(record(seed).id for seed in (3, 4))
    assert damaged.stats(9).damaged == 0


def test_a_damaged_record_can_be_enrolled_again(damaged: EmbeddedGallery) -> None:
    again = enrolment(2, camera="north")
    assert damaged.enrol([again]) == [Enrolled(again.record.id, duplicate=False)]
    assert values(damaged.get(again.record.id)) == values(again.record)
    everything = [enrolment(seed) for seed in range(5)]
    assert ids(damaged.search(vector(2), 9, EVERYTHING)) == naive(everything, vector(2), 9)
    assert (damaged.stats(9).total, damaged.stats(9).damaged) == (5, 0)


def test_a_record_damaged_while_the_gallery_is_open_is_replaced_by_the_next_nearest(
    gallery: EmbeddedGallery, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    batch = [enrolment(seed) for seed in range(60)]
    gallery.enrol(batch)
    damage(folder, 6)
    with caplog.at_level(logging.ERROR):
        found = gallery.search(vector(5), 3, EVERYTHING)
    assert record(5).id in caplog.text
    assert ids(found) == naive([one for one in batch if one.record.id != record(5).id], vector(5), 3)
    gallery.enrol([enrolment(5)])
    found = gallery.search(vector(5), 3, EVERYTHING)
    assert ids(found) == naive(batch, vector(5), 3)
    assert (found.searched, gallery.stats(0).searchable, gallery.stats(0).damaged) == (60, 60, 0)


def test_damage_found_while_the_gallery_is_open_is_counted_and_logged_once(
    gallery: EmbeddedGallery, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gallery.enrol([enrolment(seed) for seed in range(8)])
    for seq in (2, 4, 6):
        damage(folder, seq)
    assert gallery.num_damaged == 0
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            gallery.search(record(1).embedding, 1, EVERYTHING)
            assert gallery.num_damaged == 1
    assert len(caplog.messages) == 1
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            with pytest.raises(DamagedRecordError):
                gallery.get(record(3).id)
    assert gallery.num_damaged == 2
    listed(gallery, 3)
    listed(gallery, 3)
    assert (gallery.stats(1).damaged, len(caplog.messages)) == (3, 3)
    found = gallery.search(vector(1), 8, EVERYTHING)
    assert ids(found) == naive([enrolment(seed) for seed in (0, 2, 4, 6, 7)], vector(1), 8)
    assert found.searched == gallery.num_searchable == 5
    gallery.delete(record(1).id)
    gallery.enrol([enrolment(3)])
    assert gallery.num_damaged == 1


# --- pages


@pytest.mark.parametrize("limit", [1, 2, 7, 19, 20, 21, 1000])
def test_the_pages_show_every_record_once_in_the_order_of_enrolment(gallery: EmbeddedGallery, limit: int) -> None:
    expected = [record(seed).id for seed in (*range(10, 20), *range(10))]
    gallery.enrol([enrolment(seed, camera=str(seed % 2)) for seed in range(10, 20)])
    gallery.enrol([enrolment(seed, camera=str(seed % 2)) for seed in range(10)])
    assert listed(gallery, limit) == expected
    assert listed(gallery, limit, Filter(cameras=("1",))) == expected[1::2]
    page = gallery.page(Filter(cameras=("1",)), limit, None)
    assert (page.total, len(page.records)) == (10, min(limit, 10))


def test_records_that_stay_are_listed_once_while_others_come_and_go(gallery: EmbeddedGallery) -> None:
    gallery.enrol([enrolment(seed) for seed in range(30)])
    seen: list[str] = []
    cursor, seed = None, 0
    while True:
        page = gallery.page(EVERYTHING, 4, cursor)
        seen += [one.id for one in page.records]
        cursor = page.next_cursor
        if cursor is None:
            break
        # The record that the cursor stands on, one long since listed, and one far ahead.
        for id_ in {page.records[-1].id, record(29 - seed).id}:
            gallery.delete(id_)
        if seed < 4:
            gallery.enrol([enrolment(100 + seed)])
        seed += 1
    assert len(seen) == len(set(seen))
    deleted_ahead = {record(29 - i).id for i in range(seed)}
    assert {record(i).id for i in range(30)} - deleted_ahead <= set(seen)
    assert {record(100 + i).id for i in range(4)} <= set(seen)


def test_an_empty_gallery_has_one_empty_page(gallery: EmbeddedGallery) -> None:
    page = gallery.page(EVERYTHING, 5, None)
    assert (page.records, page.next_cursor, page.total) == ([], None, 0)


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "!", "1.5", "å", "1 2", "--1", "-1", "1y2p0ij32e8e8", "z" * 100, "z" * 10_000),
        *("1_0", " 1", "1 ", "1\n", "+1", "A", "0", "01", "١", "１", "0x1", "2z", "c"),
    ],
)
def test_a_cursor_that_no_page_gave_is_refused(gallery: EmbeddedGallery, cursor: str) -> None:
    gallery.enrol([enrolment(seed) for seed in range(11)])
    with pytest.raises(CursorError, match="is no cursor"):
        gallery.page(EVERYTHING, 5, cursor)


def test_the_pages_go_on_behind_a_damaged_record(damaged: EmbeddedGallery) -> None:
    assert listed(damaged, limit=2) == [record(seed).id for seed in (0, 1, 3, 4)]


# --- the nearest of each identity


def naive_groups(enrolments: list[Enrolment], query: np.ndarray[Any, np.dtype[np.float32]], top_k: int) -> list[str]:
    by_id = {one.record.id: one.record for one in enrolments}
    taken: set[str] = set()
    nearest = []
    for id_ in naive(enrolments, query, len(enrolments)):
        identity = by_id[id_].fields.identity
        if identity is None or identity not in taken:
            nearest.append(id_)
            taken.add(id_ if identity is None else identity)
    return nearest[:top_k]


@pytest.mark.parametrize("top_k", [1, 5, 14, 15, 1000])
def test_grouping_gives_the_nearest_of_each_identity(gallery: EmbeddedGallery, top_k: int) -> None:
    # Twelve identities, and every thirteenth record without one.
    batch = [in_one_frame(seed, identity=f"v{seed % 13}" if seed % 13 else None) for seed in range(150)]
    gallery.enrol(batch)
    for query in (vector(500), vector(501), vector(0), vector(1)):
        found = gallery.search(query, top_k, EVERYTHING, group_by="identity")
        assert ids(found) == naive_groups(batch, query, top_k)
        assert found.searched == 150


def test_an_identity_named_like_an_id_is_still_a_group_of_its_own(gallery: EmbeddedGallery) -> None:
    batch = [enrolment(1), enrolment(2, identity=record(1).id), enrolment(3, identity="")]
    gallery.enrol(batch)
    assert ids(gallery.search(vector(1), 9, EVERYTHING, group_by="identity")) == naive(batch, vector(1), 9)


@pytest.mark.parametrize("top_k", [2, 3, 21, 50])
def test_an_identity_with_hundreds_of_nearest_records_hides_nobody(gallery: EmbeddedGallery, top_k: int) -> None:
    crowd = [in_one_frame(seed, identity="crowd", embedding=vector(seed) * np.float32(1e-3)) for seed in range(400)]
    others = [in_one_frame(seed, identity=f"v{seed % 20}", camera="north") for seed in range(400, 500)]
    gallery.enrol(crowd + others)
    query = np.zeros(DIM, np.float32)
    found = gallery.search(query, top_k, EVERYTHING, group_by="identity")
    assert ids(found) == naive_groups(crowd + others, query, top_k)
    assert len(found.matches) == min(top_k, 21)
    north = gallery.search(query, top_k, Filter(cameras=("north",)), group_by="identity")
    assert ids(north) == naive_groups(others, query, top_k)


# --- changing and forgetting


FIELDS: dict[str, Any] = {
    "identity": "a",
    "camera": "north",
    "captured_at": datetime(2026, 5, 1, tzinfo=UTC),
    "latitude": 50.0,
    "longitude": 8.0,
    "tags": ("van",),
}


@pytest.mark.parametrize(
    "changes",
    [
        {"identity": "b"},
        {"identity": None},
        {"camera": None, "captured_at": None},
        {"captured_at": datetime(2027, 1, 1, tzinfo=UTC)},
        {"latitude": -1.5, "longitude": 2.25},
        {"latitude": 51.0},
        {"latitude": None, "longitude": None},
        {"tags": ("red", "car")},
        {"tags": ()},
        {},
    ],
)
def test_an_update_changes_only_what_it_names_and_survives_reopening(folder: Path, changes: dict[str, Any]) -> None:
    before = record(1, **FIELDS)
    expected = values(replace(before, fields=replace(before.fields, **changes)))
    with closing(opened(folder)) as gallery:
        gallery.enrol([enrolment(1, **FIELDS), enrolment(2, **FIELDS)])
        assert values(gallery.update(before.id, changes)) == expected
        assert values(gallery.get(before.id)) == expected
        assert ids(gallery.search(vector(1), 1, EVERYTHING)) == [before.id]
    with closing(opened(folder)) as gallery:
        assert values(gallery.get(before.id)) == expected
        assert values(gallery.get(record(2).id)) == values(record(2, **FIELDS))
        assert gallery.stats(9).damaged == 0


@pytest.mark.parametrize("changes", [{"latitude": None}, {"longitude": None}, {"captured_at": datetime(2027, 1, 1)}])
def test_an_update_that_contradicts_itself_is_refused(gallery: EmbeddedGallery, changes: dict[str, Any]) -> None:
    gallery.enrol([enrolment(1, **FIELDS), enrolment(2)])
    with pytest.raises(FieldsError):
        gallery.update(record(1).id, changes)
    with pytest.raises(FieldsError):
        gallery.update(record(2).id, {"latitude": 50.0})
    assert values(gallery.get(record(1).id)) == values(record(1, **FIELDS))
    assert values(gallery.get(record(2).id)) == values(record(2))


def test_the_filters_see_an_update_at_once(gallery: EmbeddedGallery) -> None:
    gallery.enrol([enrolment(1, identity="a"), enrolment(2, identity="a")])
    gallery.update(record(1).id, {"identity": "b"})
    assert ids(gallery.search(vector(1), 9, Filter(identity="b"))) == [record(1).id]
    assert ids(gallery.search(vector(1), 9, Filter(identity="a"))) == [record(2).id]
    assert gallery.delete_identity("b") == 1
    assert listed(gallery) == [record(2).id]


def test_a_deleted_record_is_gone_everywhere_and_can_be_enrolled_again(gallery: EmbeddedGallery) -> None:
    batch = [enrolment(seed) for seed in range(5)]
    gallery.enrol(batch)
    gallery.delete(record(2).id)
    rest = [one for one in batch if one.record.id != record(2).id]
    assert ids(gallery.search(vector(2), 9, EVERYTHING)) == naive(rest, vector(2), 9)
    assert listed(gallery) == [one.record.id for one in rest]
    assert gallery.known([record(2).id]) == {}
    with pytest.raises(RecordNotFoundError):
        gallery.delete(record(2).id)
    assert gallery.enrol([enrolment(2)]) == [Enrolled(record(2).id, duplicate=False)]
    assert ids(gallery.search(vector(2), 9, EVERYTHING)) == naive(batch, vector(2), 9)
    assert gallery.image(record(2)) == image(2)


def test_deleting_an_identity_says_how_many_went(gallery: EmbeddedGallery) -> None:
    gallery.enrol([enrolment(seed, identity=[None, "a", "b"][seed % 3]) for seed in range(11)])
    assert gallery.delete_identity("a") == 4
    assert gallery.delete_identity("a") == 0
    assert gallery.delete_identity("' OR 1=1 --") == 0
    assert listed(gallery) == [record(seed).id for seed in range(11) if seed % 3 != 1]
    assert gallery.search(vector(0), 99, EVERYTHING).searched == 7


def test_stats_are_counts(gallery: EmbeddedGallery) -> None:
    cameras = ["b", "a", None, "a", "c", "b", None, "a"]
    identities = ["x", None, None, "x", "y", None, None, None]
    fields = zip(cameras, identities, strict=True)
    gallery.enrol([
        enrolment(seed, frame=seed // 2, box=(LEFT, RIGHT)[seed % 2], camera=camera, identity=identity)
        for seed, (camera, identity) in enumerate(fields)
    ])  # fmt: skip
    expected = Stats(
        total=8,
        searchable=8,
        damaged=0,
        damaged_images=0,
        stray_images=0,
        num_images=4,
        num_cameras=3,
        num_identities=2,
        cameras=[("a", 3), (None, 2), ("b", 2), ("c", 1)],
        identities=[(None, 5), ("x", 2), ("y", 1)],
        models=[(MODEL.fingerprint, MODEL.precision, 8)],
    )
    assert gallery.stats(10) == expected
    assert gallery.stats(2) == replace(expected, cameras=expected.cameras[:2], identities=expected.identities[:2])
    assert gallery.stats(0) == replace(expected, cameras=[], identities=[])


# --- threads


def test_every_thread_finds_what_it_enrolled_and_not_what_it_deleted(gallery: EmbeddedGallery) -> None:
    def work(worker: int) -> None:
        for seed in range(1000 * worker, 1000 * worker + 12):
            one = enrolment(seed, camera=str(worker))
            assert gallery.enrol([one]) == [Enrolled(one.record.id, duplicate=False)]
            found = gallery.search(one.record.embedding, 1, EVERYTHING)
            assert [(match.record.id, match.distance) for match in found.matches] == [(one.record.id, 0.0)]
            if seed % 3 == 0:
                gallery.delete(one.record.id)
                assert one.record.id not in ids(
                    gallery.search(one.record.embedding, 100, Filter(cameras=(str(worker),)))
                )

    with ThreadPoolExecutor(4) as pool:
        for worker in [pool.submit(work, worker) for worker in range(1, 5)]:
            worker.result()
    left = [seed for worker in range(1, 5) for seed in range(1000 * worker, 1000 * worker + 12) if seed % 3]
    assert sorted(listed(gallery, 5)) == sorted(record(seed).id for seed in left)
    assert gallery.stats(0).searchable == len(left)
    assert [gallery.image(record(seed)) for seed in left] == [image(seed) for seed in left]


def test_the_same_record_enrolled_by_many_threads_is_stored_once(gallery: EmbeddedGallery) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = [task.result()[0] for task in [pool.submit(gallery.enrol, [enrolment(1)]) for _ in range(16)]]
    assert sorted(result.duplicate for result in results) == [False] + [True] * 15
    assert gallery.search(vector(1), 9, EVERYTHING).searched == 1


def test_what_failed_to_reach_the_index_is_found_when_it_is_enrolled_again(
    gallery: EmbeddedGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(ExactSearch, "add", failing)
        with pytest.raises(MemoryError):
            gallery.enrol([enrolment(1)])
    gallery.enrol([enrolment(1)])
    assert ids(gallery.search(vector(1), 9, EVERYTHING)) == [record(1).id]


def test_images_without_their_records_are_not_swept_but_refused(folder: Path) -> None:
    with closing(opened(folder)) as gallery:
        gallery.enrol([enrolment(1)])
    for path in folder.glob("gallery.sqlite*"):
        path.unlink()
    with pytest.raises(GalleryError, match=r"there are images, but no records in .*gallery\.sqlite: restore"):
        opened(folder)
    assert image_files(folder) == {record(1).content}


def test_images_beside_an_empty_file_of_records_are_not_swept_but_refused(folder: Path) -> None:
    with closing(opened(folder)) as gallery:
        gallery.enrol([enrolment(1)])
    (folder / "gallery.sqlite").write_bytes(b"")
    with pytest.raises(GalleryError):
        opened(folder).close()
    assert image_files(folder) == {record(1).content}


def test_a_file_that_is_no_database_is_named(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "gallery.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(GalleryError, match=r"gallery\.sqlite cannot be read as the gallery's records"):
        opened(folder)


# --- nothing is lost that a record, a backup or a repair may need


def lose(folder: Path, content: str, how: str) -> None:
    (path,) = (folder / "images").glob(f"*/{content}")
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes({"damaged": b"other bytes", "empty": b"", "cut": path.read_bytes()[:-1]}[how])


@pytest.mark.parametrize("how", ["missing", "damaged", "empty", "cut"])
@pytest.mark.parametrize("call", ["enrol", "enrol with others"])
def test_a_lost_image_is_counted_and_comes_back_when_it_is_enrolled_again(
    gallery: EmbeddedGallery, folder: Path, caplog: pytest.LogCaptureFixture, how: str, call: str
) -> None:
    gallery.enrol([enrolment(1, frame=1, box=LEFT), enrolment(2, frame=1, box=RIGHT), enrolment(3)])
    lost = record(1, frame=1, box=LEFT)
    lose(folder, lost.content, how)
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


def test_an_image_is_restored_only_by_its_own_bytes(gallery: EmbeddedGallery, folder: Path) -> None:
    gallery.enrol([enrolment(1)])
    lose(folder, record(1).content, "missing")
    with pytest.raises(GalleryError, match="changed since it was embedded"):
        gallery.enrol([Enrolment(record(1), lambda: image(2))])
    assert image_files(folder) == set()


def test_an_image_that_its_operator_puts_back_is_no_longer_counted(gallery: EmbeddedGallery, folder: Path) -> None:
    gallery.enrol([enrolment(1)])
    path = next((folder / "images").glob("*/*"))
    path.rename(folder / "aside")
    with pytest.raises(GalleryError, match="missing"):
        gallery.image(record(1))
    (folder / "aside").rename(path)
    assert gallery.image(record(1)) == image(1)
    assert gallery.num_damaged_images == 0


@pytest.mark.parametrize("column", ["content", "box", "id", "media_type"])
def test_opening_keeps_the_image_of_a_damaged_record(folder: Path, column: str) -> None:
    with closing(opened(folder)) as gallery:
        gallery.enrol([enrolment(1), enrolment(2)])
    damage(folder, 1, column, f"'9' || substr({column}, 2)")
    with closing(opened(folder)) as gallery:
        assert gallery.num_damaged == 1
        assert gallery.stats(1).stray_images == (column == "content")
        assert image_files(folder) == {record(1).content, record(2).content}
        gallery.enrol([enrolment(1)])
        assert gallery.image(record(1)) == image(1)


def test_an_older_database_beside_newer_images_loses_none(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(opened(folder)) as gallery:
        gallery.enrol([enrolment(1)])
    older = (folder / "gallery.sqlite").read_bytes()
    with closing(opened(folder)) as gallery:
        gallery.enrol([enrolment(seed) for seed in range(2, 9)])
    newer = (folder / "gallery.sqlite").read_bytes()
    (folder / "gallery.sqlite").write_bytes(older)
    with closing(opened(folder)) as gallery:
        assert (gallery.stats(1).total, gallery.stats(1).stray_images) == (1, 7)
        assert "7 image files have no record and are kept: restore the newer gallery.sqlite" in caplog.text
        # What is done with the older one does not take from the newer one.
        gallery.delete(record(1).id)
        gallery.enrol([enrolment(2)])
        gallery.delete(record(2).id)
    (folder / "gallery.sqlite").write_bytes(newer)
    with closing(opened(folder)) as gallery:
        assert [gallery.image(record(seed)) for seed in range(1, 9)] == [image(seed) for seed in range(1, 9)]


def test_a_database_without_its_log_loses_no_image(folder: Path, tmp_path: Path) -> None:
    with closing(opened(folder)) as gallery:
        gallery.enrol([enrolment(1)])
        copy = tmp_path / "copy"
        shutil.copytree(folder / "images", copy / "images")
        shutil.copy(folder / "gallery.sqlite", copy)  # and not gallery.sqlite-wal, where the record is
    with pytest.raises(GalleryError, match=r"no records in .*gallery\.sqlite: restore that file, with its -wal"):
        opened(copy)
    assert image_files(copy) == {record(1).content}
    shutil.copy(folder / "gallery.sqlite", copy)
    with closing(opened(copy)) as gallery:
        assert gallery.image(record(1)) == image(1)


def test_a_deletion_keeps_the_image_that_a_damaged_record_may_name(folder: Path) -> None:
    with closing(opened(folder)) as gallery:
        gallery.enrol([enrolment(1, frame=1, box=LEFT), enrolment(2, frame=1, box=RIGHT)])
    damage(folder, 1, "content", "'" + "0" * 64 + "'")
    with closing(opened(folder)) as gallery:
        gallery.delete(record(2, frame=1, box=RIGHT).id)
        assert image_files(folder) == {record(1, frame=1).content}
        gallery.delete(record(1, frame=1, box=LEFT).id)
        assert gallery.stats(1).total == 0


@pytest.mark.parametrize("content", ["../../precious", "precious", "", "/"])
def test_a_damaged_record_that_names_a_path_moves_nothing(folder: Path, content: str) -> None:
    with closing(opened(folder)) as gallery:
        gallery.enrol([enrolment(1), enrolment(2)])
    (folder / "precious").write_bytes(b"precious")
    damage(folder, 1, "content", f"'{content}'")
    with closing(opened(folder)) as gallery:
        gallery.delete(record(1).id)
        assert (folder / "precious").exists()
        assert trash_files(folder) == set()
        assert image_files(folder) == {record(1).content, record(2).content}


def test_a_deleted_image_lies_in_the_trash_until_that_is_emptied(gallery: EmbeddedGallery, folder: Path) -> None:
    gallery.enrol([enrolment(1), enrolment(2, identity="a"), enrolment(3, identity="a")])
    gallery.delete(record(1).id)
    gallery.delete_identity("a")
    contents = [record(seed).content for seed in (1, 2, 3)]
    today = datetime.now(UTC).date()
    found = {path.relative_to(folder / "trash").as_posix() for path in (folder / "trash").rglob("*") if path.is_file()}
    assert found in [{f"{day}/images/{c[:2]}/{c}" for c in contents} for day in (today, today - timedelta(days=1))]
    assert gallery.empty_trash(timedelta(days=2)) == 0
    assert gallery.empty_trash(timedelta(0)) == 3
    assert trash_files(folder) == set()
    gallery.enrol([enrolment(1)])
    assert gallery.image(record(1)) == image(1)


@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_a_restored_record_takes_its_image_out_of_the_trash(folder: Path, how: str) -> None:
    with closing(opened(folder)) as gallery:
        gallery.enrol([enrolment(1), enrolment(2)])
    older = (folder / "gallery.sqlite").read_bytes()
    with closing(opened(folder)) as gallery:
        gallery.delete(record(1).id)
        gallery.delete(record(2).id)
    (folder / "gallery.sqlite").write_bytes(older)
    if how == "damaged":
        ImageStore(folder / "images", folder / "trash").put([(record(3).content, image(3))])
        (folder / "images" / record(1).content[:2] / record(1).content).write_bytes(b"damaged")
    with closing(opened(folder)) as gallery:
        assert gallery.image(record(1)) == image(1)
        assert gallery.num_damaged_images == 0
        # Emptying the trash does not take what a record lacks.
        assert gallery.empty_trash(timedelta(0)) == 0
        assert gallery.image(record(2)) == image(2)


def test_what_cannot_be_moved_to_the_trash_stays_and_is_counted(gallery: EmbeddedGallery, folder: Path) -> None:
    gallery.enrol([enrolment(1)])
    (folder / "trash").write_bytes(b"in the way")
    gallery.delete(record(1).id)
    assert_is_empty(gallery)
    assert image_files(folder) == {record(1).content}
    assert gallery.stats(1).stray_images == 1


# --- a write that fails leaves nothing behind


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_interrupted_enrolment_removes_only_the_images_that_it_brought(
    gallery: EmbeddedGallery, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.enrol([enrolment(1, frame=1, box=LEFT)])
    ImageStore(folder / "images", folder / "trash").put([(record(2).content, image(2))])
    batch = [enrolment(7), enrolment(2), enrolment(3, frame=1, box=RIGHT), enrolment(8)]
    with monkeypatch.context() as patch:
        patch.setattr(Writer, "insert", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            gallery.enrol(batch)
    assert image_files(folder) == {record(1, frame=1).content, record(2).content}
    assert [result.duplicate for result in gallery.enrol(batch)] == [False] * 4


def test_an_enrolment_interrupted_after_its_commit_keeps_its_images(
    gallery: EmbeddedGallery, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction = RecordStore.transaction

    @contextmanager
    def interrupted_behind(self: RecordStore) -> Iterator[Writer]:
        with transaction(self) as writer:
            yield writer
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RecordStore, "transaction", interrupted_behind)
        with pytest.raises(KeyboardInterrupt):
            gallery.enrol([enrolment(1)])
    assert gallery.image(gallery.get(record(1).id)) == image(1)
    assert gallery.enrol([enrolment(1)]) == [Enrolled(record(1).id, duplicate=True)]
    assert ids(gallery.search(vector(1), 1, EVERYTHING)) == [record(1).id]


def test_every_write_on_a_full_disk_says_so_and_changes_nothing(full: EmbeddedGallery, folder: Path) -> None:
    with full._store._connection() as connection:
        connection.execute("PRAGMA max_page_count = 1")
    long = {"attributes": {f"{i}": "x" * 200 for i in range(32)}}
    with pytest.raises(GalleryFullError):
        full.update(record(1).id, long)
    assert values(full.get(record(1).id)) == values(record(1))

    transaction = RecordStore.transaction

    @contextmanager
    def full_disk(self: RecordStore) -> Iterator[Writer]:
        with transaction(self) as writer, disk_errors(folder):
            yield writer
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RecordStore, "transaction", full_disk)
        with pytest.raises(GalleryFullError):
            full.delete(record(1).id)
    assert full.image(record(1)) == image(1)
    assert listed(full) == [record(1).id]


_SMALL_FILES = """
import resource, sys
from pathlib import Path
from index.embedded.embedded_gallery import EmbeddedGallery
from index.gallery.filters import Filter
from index.gallery.gallery import GalleryError
from tests.index.records import *
folder = Path(sys.argv[1])
gallery = EmbeddedGallery(folder, MODEL, DIM)
gallery.enrol([enrolment(1)])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    gallery.enrol([enrolment(seed) for seed in range(2, 400)])
except GalleryError as error:
    print(type(error).__name__)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(len([path for path in (folder / "images").rglob("*") if path.is_file()]))
print(gallery.page(Filter(), 9, None).total)
gallery.enrol([enrolment(seed) for seed in range(2, 400)])
print(gallery.page(Filter(), 9, None).total)
"""


@pytest.mark.parametrize(("max_bytes", "error"), [(10, "GalleryFullError"), (200_000, "GalleryError")])
def test_a_real_limit_of_the_system_leaves_nothing_half_stored(folder: Path, max_bytes: int, error: str) -> None:
    """The first limit fails the image files, the second one SQLite's log."""
    command = [sys.executable, "-c", _SMALL_FILES, str(folder), str(max_bytes)]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    assert process.stdout.split() == [error, "1", "1", "399"]


# --- an opening that fails


_STEPS: list[tuple[object, str]] = [
    (ImageStore, "__init__"),
    (ImageStore, "is_empty"),
    (RecordStore, "_open"),
    (ImageStore, "discard_unfinished"),
    (RecordStore, "contents"),
    (ExactSearch, "__init__"),
    (ExactSearch, "add"),
    (RecordStore, "num_of_model"),
]


@pytest.mark.parametrize("step", _STEPS, ids=lambda step: step[1])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EIO, "I/O"), sqlite3.DatabaseError("malformed")])
def test_an_opening_that_fails_at_any_step_closes_what_it_opened(
    folder: Path, step: tuple[object, str], error: BaseException
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    with closing(opened(folder)) as gallery:
        gallery.enrol([enrolment(1)])
    before = num_open_files(), threading.active_count()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*step, failing)
        expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else GalleryError
        with pytest.raises(expected):
            opened(folder)
    assert (num_open_files(), threading.active_count()) == before
    with closing(opened(folder)) as gallery:
        assert listed(gallery) == [record(1).id]


def num_open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(GalleryError, match=r"file/data cannot be read or written: Not a directory"):
        opened(tmp_path / "file" / "data")


# --- changes between the steps of a search or a page


def between_the_steps(gallery: EmbeddedGallery, method: str, change: Callable[[], object]) -> None:
    """Calls `change` once, right before the store reads the records that the answer will hold."""
    find_in = gallery._store.find_in

    def changing(*args: Any) -> Any:
        setattr(gallery._store, method, find_in)
        change()
        return find_in(*args)

    setattr(gallery._store, method, changing)


@pytest.mark.parametrize("group_by", [None, "identity"])
@pytest.mark.parametrize("changes", [{"camera": "b"}, {"tags": ()}, {"source": None}, {"attributes": {"a": "2"}}])
def test_an_answer_holds_only_what_passes_the_filter_as_it_is_read(
    gallery: EmbeddedGallery, changes: dict[str, Any], group_by: Any
) -> None:
    fields: dict[str, Any] = {"camera": "a", "tags": ("van",), "source": "x.jpg", "attributes": {"a": "1"}}
    where = Filter(cameras=("a",), tags=("van",), source="x.jpg", attributes=(("a", "1"),))
    batch = [enrolment(seed, **fields) for seed in range(4)]
    gallery.enrol(batch)
    rest = batch[:1] + batch[2:]
    between_the_steps(gallery, "find_in", lambda: gallery.update(record(1).id, changes))
    assert ids(gallery.search(vector(1), 3, where, group_by)) == naive(rest, vector(1), 3)
    gallery.update(record(1).id, fields)
    between_the_steps(gallery, "find_in", lambda: gallery.update(record(1).id, changes))
    assert [one.id for one in gallery.page(where, 9, None).records] == [one.record.id for one in rest]


def test_no_two_records_of_an_answer_by_identity_have_the_same(gallery: EmbeddedGallery) -> None:
    gallery.enrol([enrolment(seed, identity=f"v{seed}") for seed in range(5)])
    between_the_steps(gallery, "find_in", lambda: gallery.update(record(2).id, {"identity": "v1"}))
    found = gallery.search(vector(1), 3, EVERYTHING, "identity")
    now = [enrolment(seed, identity=f"v{1 if seed == 2 else seed}") for seed in range(5)]
    assert ids(found) == naive_groups(now, vector(1), 3)


@pytest.mark.parametrize("hidden", ["stale", "damaged", "damaged while open", "stale and filtered"])
def test_a_record_that_is_not_searched_does_not_make_grouping_read_everything(
    folder: Path, monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    with closing(opened(folder, OTHER_MODELS[0])) as gallery:
        if hidden.startswith("stale"):
            gallery.enrol([enrolment(9_999, model=OTHER_MODELS[0], identity="old", camera="a")])
    batch = [in_one_frame(seed, identity=f"v{seed % 8}", camera="a") for seed in range(600)]
    with closing(opened(folder)) as gallery:
        gallery.enrol([*batch, enrolment(700, identity="damaged", camera="a")])
        if hidden.startswith("stale"):
            gallery.delete(record(700).id)
        if hidden == "damaged while open":
            damage(folder, 601)
            gallery.search(vector(700), 1, EVERYTHING)
    if hidden == "damaged":
        damage(folder, 601)
    with closing(opened(folder)) as gallery:
        search, asked = ExactSearch.search, []

        def watched(self: ExactSearch, query: Any, top_k: int, seqs: Any = None) -> Any:
            asked.append(top_k)
            return search(self, query, top_k, seqs)

        monkeypatch.setattr(ExactSearch, "search", watched)
        where = Filter(cameras=("a",)) if hidden.endswith("filtered") else EVERYTHING
        found = gallery.search(vector(1), 10, where, "identity")
        assert ids(found) == naive_groups(batch, vector(1), 10)
        assert max(asked) <= 160


def test_lost_images_are_counted_when_the_gallery_is_opened(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(EmbeddedGallery(tmp_path, MODEL, DIM)) as gallery:
        gallery.enrol([enrolment(seed) for seed in range(3)])
    shutil.rmtree(tmp_path / "images")
    with closing(EmbeddedGallery(tmp_path, MODEL, DIM)) as gallery:
        assert gallery.num_damaged_images == 3
        assert "3 image files of records are missing" in caplog.text
        gallery.enrol([enrolment(0)])
        assert gallery.num_damaged_images == 2
        gallery.delete(record(1).id)
        assert gallery.num_damaged_images == 1


def test_images_in_the_trash_are_not_lost(tmp_path: Path) -> None:
    with closing(EmbeddedGallery(tmp_path, MODEL, DIM)) as gallery:
        gallery.enrol([enrolment(1)])
    older = tmp_path.with_suffix(".sqlite")
    shutil.copy(tmp_path / "gallery.sqlite", older)
    with closing(EmbeddedGallery(tmp_path, MODEL, DIM)) as gallery:
        gallery.delete(record(1).id)
    shutil.copy(older, tmp_path / "gallery.sqlite")
    with closing(EmbeddedGallery(tmp_path, MODEL, DIM)) as gallery:
        assert gallery.num_damaged_images == 0
        assert gallery.image(record(1)) == image(1)


def test_the_image_that_a_damaged_record_names_is_not_counted_as_lost(tmp_path: Path) -> None:
    with closing(EmbeddedGallery(tmp_path, MODEL, DIM)) as gallery:
        gallery.enrol([enrolment(1)])
    tamper(tmp_path / "gallery.sqlite", "UPDATE record SET content = ?", record(2).content)
    with closing(EmbeddedGallery(tmp_path, MODEL, DIM)) as gallery:
        assert (gallery.num_damaged, gallery.num_damaged_images) == (1, 0)
