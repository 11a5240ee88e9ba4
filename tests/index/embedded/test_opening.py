"""What is of the folder and its SQLite file; the policy is tested in `tests/index/gallery`."""

import errno
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from index.embedded.data_folder import GalleryLockedError
from index.embedded.disk import disk_errors
from index.embedded.images.image_store import ImageStore
from index.embedded.opening import open_gallery
from index.embedded.records.record_store import SqliteRecordStore
from index.embedded.records.record_writer import SqliteWriter
from index.embedded.search.row_blocks import RowBlocks
from index.gallery.answers import Enrolled
from index.gallery.errors import GalleryError, GalleryFullError
from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from index.gallery.record import ModelKey, Record
from tests.index.naive_search import EVERYTHING, assert_is_empty, ids, listed, naive
from tests.index.records import DIM, LEFT, MODEL, RIGHT, enrolment, image, in_one_frame, record, tamper, values, vector


def opened(folder: Path, model: ModelKey = MODEL) -> Gallery:
    return open_gallery(folder, model, DIM)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def gallery(folder: Path) -> Iterator[Gallery]:
    with closing(opened(folder)) as gallery:
        yield gallery


def store_of(gallery: Gallery) -> SqliteRecordStore:
    assert isinstance(gallery._store, SqliteRecordStore)
    return gallery._store


def image_files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "images").rglob("*") if path.is_file()}


def trash_files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "trash").rglob("*") if path.is_file()}


def _fail_on_the_second_record(monkeypatch: pytest.MonkeyPatch, gallery: Gallery) -> None:
    insert, calls = SqliteWriter.insert, []

    def failing(self: SqliteWriter, one: Record) -> None:
        calls.append(one)
        if len(calls) == 2:
            raise OSError("disk failure")
        insert(self, one)

    monkeypatch.setattr(SqliteWriter, "insert", failing)


def _fail_to_write_images(monkeypatch: pytest.MonkeyPatch, gallery: Gallery) -> None:
    def failing(self: Path, target: Path) -> Path:
        raise OSError("disk failure")

    monkeypatch.setattr(Path, "replace", failing)


def _fail_after_the_images(monkeypatch: pytest.MonkeyPatch, gallery: Gallery) -> None:
    put = ImageStore.put

    def failing(self: ImageStore, images: Iterable[tuple[str, bytes]]) -> None:
        put(self, images)
        raise GalleryError("cannot be read or written: disk failure")

    monkeypatch.setattr(ImageStore, "put", failing)


@pytest.mark.parametrize("fail", [_fail_on_the_second_record, _fail_to_write_images, _fail_after_the_images])
def test_an_enrolment_that_fails_stores_nothing_and_the_next_one_works(
    gallery: Gallery, folder: Path, fail: Any
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
def full(gallery: Gallery) -> Gallery:
    """Record 1, and room for hardly more."""
    gallery.enrol([enrolment(1)])
    with store_of(gallery)._connection() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    return gallery


def test_an_enrolment_on_a_full_disk_stores_nothing_and_the_next_one_works(full: Gallery, folder: Path) -> None:
    batch = [in_one_frame(seed) for seed in range(2, 200)]
    with pytest.raises(GalleryFullError, match="the disk of the gallery is full: nothing of this request was stored"):
        full.enrol(batch)
    assert image_files(folder) == {record(1).content}
    assert listed(full) == [record(1).id]
    assert full.search(vector(1), 9, EVERYTHING).searched == 1
    with store_of(full)._connection() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
    full.enrol(batch)
    assert ids(full.search(vector(1), 9, EVERYTHING)) == naive([enrolment(1), *batch], vector(1), 9)


def test_a_second_gallery_on_the_folder_is_refused_until_the_first_is_closed(folder: Path) -> None:
    first = opened(folder)
    with pytest.raises(GalleryLockedError, match=f"another process has the gallery in {folder} open: stop it"):
        opened(folder)
    assert first.enrol([enrolment(1)]) == [Enrolled(record(1).id, duplicate=False)]
    first.close()
    with closing(opened(folder)) as gallery:
        assert listed(gallery) == [record(1).id]


def test_a_second_process_on_the_folder_is_refused(gallery: Gallery, folder: Path) -> None:
    code = (
        "import sys, pathlib, index.embedded.opening as g, index.embedded.data_folder as f, index.gallery.record as r\n"
        "try: g.open_gallery(pathlib.Path(sys.argv[1]), r.ModelKey('x', 'y'), 4)\n"
        "except f.GalleryLockedError as error: sys.exit(str(error))\n"
    )
    process = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)
    assert process.returncode == 1
    assert (
        process.stderr.strip()
        == f"another process has the gallery in {folder} open: stop it, or use another data folder"
    )


def test_a_gallery_that_cannot_be_opened_leaves_the_folder_free(folder: Path) -> None:
    opened(folder).close()
    tamper(folder / "gallery.sqlite", "PRAGMA user_version = 4")
    # Held, and with it the half-opened gallery: no lock may wait for the garbage collector.
    with pytest.raises(GalleryError, match="layout 4") as first:
        opened(folder)
    with pytest.raises(GalleryError, match="layout 4") as second:
        opened(folder)
    assert first.value is not second.value
    tamper(folder / "gallery.sqlite", "PRAGMA user_version = 3")
    opened(folder).close()


def test_a_gallery_that_another_thread_closes_leaves_the_folder_free(folder: Path) -> None:
    gallery = opened(folder)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(gallery.close).result()
    opened(folder).close()


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


def damage(folder: Path, seq: int, column: str = "media_type", value: str = "'x'") -> None:
    tamper(folder / "gallery.sqlite", f"UPDATE record SET {column} = {value} WHERE seq = {seq}")


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


def test_a_deleted_image_lies_in_the_trash_until_that_is_emptied(gallery: Gallery, folder: Path) -> None:
    gallery.enrol([enrolment(1), enrolment(2, identity="a"), enrolment(3, identity="a")])
    gallery.delete(record(1).id)
    gallery.delete_passing(Filter(identity="a"))
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


def test_what_cannot_be_moved_to_the_trash_stays_and_is_counted(gallery: Gallery, folder: Path) -> None:
    gallery.enrol([enrolment(1)])
    (folder / "trash").write_bytes(b"in the way")
    gallery.delete(record(1).id)
    assert_is_empty(gallery)
    assert image_files(folder) == {record(1).content}
    assert gallery.stats(1).stray_images == 1


def test_every_write_on_a_full_disk_says_so_and_changes_nothing(full: Gallery, folder: Path) -> None:
    with store_of(full)._connection() as connection:
        connection.execute("PRAGMA max_page_count = 1")
    long = {"attributes": {f"{i}": "x" * 200 for i in range(32)}}
    with pytest.raises(GalleryFullError):
        full.update(record(1).id, long)
    assert values(full.get(record(1).id)) == values(record(1))

    transaction = SqliteRecordStore.transaction

    @contextmanager
    def full_disk(self: SqliteRecordStore) -> Iterator[SqliteWriter]:
        with transaction(self) as writer, disk_errors(folder):
            yield writer
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteRecordStore, "transaction", full_disk)
        with pytest.raises(GalleryFullError):
            full.delete(record(1).id)
    assert full.image(record(1)) == image(1)
    assert listed(full) == [record(1).id]


_SMALL_FILES = """
import resource, sys
from pathlib import Path
from index.embedded.opening import open_gallery
from index.gallery.errors import GalleryError
from index.gallery.filters import Filter
from tests.index.records import *
folder = Path(sys.argv[1])
gallery = open_gallery(folder, MODEL, DIM)
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


_STEPS: list[tuple[object, str]] = [
    (ImageStore, "__init__"),
    (ImageStore, "is_empty"),
    (SqliteRecordStore, "_open"),
    (ImageStore, "discard_unfinished"),
    (SqliteRecordStore, "contents"),
    (RowBlocks, "__init__"),
    (RowBlocks, "add"),
    (SqliteRecordStore, "num_of_model"),
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


def test_images_in_the_trash_are_not_lost(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as gallery:
        gallery.enrol([enrolment(1)])
    older = tmp_path.with_suffix(".sqlite")
    shutil.copy(tmp_path / "gallery.sqlite", older)
    with closing(opened(tmp_path)) as gallery:
        gallery.delete(record(1).id)
    shutil.copy(older, tmp_path / "gallery.sqlite")
    with closing(opened(tmp_path)) as gallery:
        assert gallery.num_damaged_images == 0
        assert gallery.image(record(1)) == image(1)


def test_the_image_that_a_damaged_record_names_is_not_counted_as_lost(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as gallery:
        gallery.enrol([enrolment(1)])
    tamper(tmp_path / "gallery.sqlite", "UPDATE record SET content = ?", record(2).content)
    with closing(opened(tmp_path)) as gallery:
        assert (gallery.num_damaged, gallery.num_damaged_images) == (1, 0)
