import errno
import os
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from index.embedded.backup.backing_up import BackupOutcome, StoppedError, back_up
from index.embedded.backup.backup_folder import Backup
from index.embedded.backup.restoring import restore
from index.embedded.gallery_check import check_folder
from index.embedded.opening import open_gallery
from index.embedded.records.record_store import SqliteRecordStore
from index.gallery.errors import GalleryError, GalleryFullError
from index.gallery.gallery import Gallery
from tests.index.embedded.stored_gallery import (
    FRAMES,
    RECORDS,
    image_path,
    stored_values,
    throw_into_trash,
    tree,
    write_gallery,
)
from tests.index.killed_command import kills
from tests.index.records import DIM, MODEL, enrolment, image, record, tamper, values

ALL = {one.id: values(one) for one in RECORDS}
LONE = RECORDS[8]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_gallery(tmp_path / "data")


def back(folder: Path, out: Path, **options: Any) -> BackupOutcome:
    defaults = {"check": False, "prune": False, "progress": lambda *_: None, "stop_asked": lambda: False}
    return back_up(folder, out, **{**defaults, **options})


def restored(out: Path, target: Path) -> Path:
    outcome = restore(out, target, partial=False, progress=lambda *_: None, stop_asked=lambda: False)
    assert outcome.lost_images == {}
    return target


def assert_sound(folder: Path) -> None:
    found = check_folder(folder, lambda *_: None, lambda: False)
    assert found.sound
    assert found.gallery.strays == []


def test_a_backup_restores_to_the_same_gallery(folder: Path, tmp_path: Path) -> None:
    before = tree(folder)
    outcome = back(folder, tmp_path / "backup")
    assert (outcome.copied, outcome.kept) == (len(FRAMES), 0)
    assert tree(folder) == before
    backup = Backup.read(tmp_path / "backup")
    assert (backup.num_records, backup.num_images) == (len(RECORDS), len(FRAMES))
    assert backup.models == [(MODEL.fingerprint, "float32", len(RECORDS) - 1), ("b" * 64, "float32", 1)]
    new = restored(tmp_path / "backup", tmp_path / "new")
    assert stored_values(new) == ALL
    assert list(stored_values(new)) == [one.id for one in RECORDS]
    assert_sound(new)
    assert sorted(path.name for path in new.iterdir()) == ["gallery.sqlite", "images"]
    with closing(open_gallery(new, MODEL, DIM)) as gallery:
        assert gallery.num_searchable == len(RECORDS) - 1


def test_the_second_backup_copies_what_is_new_and_forgets_nothing(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "backup"
    back(folder, out)
    with closing(open_gallery(folder, MODEL, DIM)) as gallery:
        gallery.enrol([enrolment(70)])
        gallery.delete(LONE.id)
        # While it is open.
        outcome = back(folder, out)
    assert (outcome.copied, outcome.kept, outcome.num_pruned) == (1, len(FRAMES) - 1, 0)
    assert len(list(out.glob("gallery-*.sqlite"))) == 1
    assert image_path(out, LONE.content).exists()
    outcome = back(folder, out, prune=True)
    assert (outcome.copied, outcome.num_pruned) == (0, 1)
    assert not image_path(out, LONE.content).exists()
    new = restored(out, tmp_path / "new")
    assert stored_values(new).keys() == (ALL.keys() - {LONE.id}) | {record(70).id}
    assert_sound(new)


def test_damaged_images_are_named_and_the_rest_is_backed_up(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "backup"
    image_path(folder, LONE.content).write_bytes(b"damaged")
    image_path(folder, RECORDS[9].content).unlink()
    outcome = back(folder, out)
    assert outcome.lost_images.keys() == {LONE.content, RECORDS[9].content}
    assert "is damaged" in outcome.lost_images[LONE.content]
    assert "is missing" in outcome.lost_images[RECORDS[9].content]
    assert outcome.copied == len(FRAMES) - 2
    # The gallery itself had lost them: a restore gives it back as it was.
    again = restore(out, tmp_path / "new", partial=False, progress=lambda *_: None, stop_asked=lambda: False)
    assert again.lost_images.keys() == outcome.lost_images.keys()
    assert stored_values(tmp_path / "new") == ALL


def test_an_image_that_the_gallery_lost_stays_in_the_backup(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "backup"
    back(folder, out)
    image_path(folder, LONE.content).write_bytes(b"damaged")
    assert back(folder, out, prune=True).lost_images == {}
    assert image_path(restored(out, tmp_path / "new"), LONE.content).read_bytes() == FRAMES[LONE.content]


@pytest.mark.parametrize("copy", [True, False])
def test_an_image_is_found_in_the_trash(folder: Path, tmp_path: Path, copy: bool) -> None:
    throw_into_trash(folder, LONE.content, copy=copy)
    if copy:
        image_path(folder, LONE.content).write_bytes(b"damaged")
    assert back(folder, tmp_path / "backup").lost_images == {}
    assert_sound(restored(tmp_path / "backup", tmp_path / "new"))


def test_check_finds_what_is_damaged_in_the_backup(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "backup"
    back(folder, out)
    path = image_path(out, LONE.content)
    path.write_bytes(path.read_bytes()[::-1])
    assert back(folder, out).copied == 0
    assert back(folder, out, check=True).copied == 1
    path.write_bytes(b"short")
    assert back(folder, out).copied == 1
    assert_sound(restored(out, tmp_path / "new"))


def test_damaged_records_are_named(folder: Path, tmp_path: Path) -> None:
    tamper(folder / "gallery.sqlite", "UPDATE record SET camera = CAST(x'ff' AS TEXT) WHERE seq = 9")
    outcome = back(folder, tmp_path / "backup")
    assert outcome.damaged_records == [(LONE.id, LONE.fields.source)]
    assert stored_values(restored(tmp_path / "backup", tmp_path / "new")).keys() == ALL.keys() - {LONE.id}


def test_a_broken_database_is_not_backed_up_over_a_sound_one(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "backup"
    back(folder, out)
    before = tree(out)
    data = bytearray((folder / "gallery.sqlite").read_bytes())
    data[4096 * 2 : 4096 * 3] = bytes(4096)
    (folder / "gallery.sqlite").write_bytes(data)
    with pytest.raises(GalleryError, match=r"verify --repair|restore it from a backup"):
        back(folder, out)
    assert tree(out) == before


def test_what_is_no_backup_stays_as_it_is(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    for target in (out, folder):
        before = tree(target)
        with pytest.raises(GalleryError, match="neither empty nor a backup"):
            back(folder, target)
        assert tree(target) == before


def test_two_backups_at_once_do_not_mix(folder: Path, tmp_path: Path) -> None:
    def again(*_: object) -> None:
        with pytest.raises(GalleryError, match="another backup to"):
            back(folder, tmp_path / "backup")

    back(folder, tmp_path / "backup", progress=again)


@pytest.mark.parametrize("phase", ["database", "records", "images"])
def test_stopped_it_stays_the_earlier_one(folder: Path, tmp_path: Path, phase: str) -> None:
    out = tmp_path / "backup"
    back(folder, out)
    before = tree(out)
    with closing(SqliteRecordStore(folder / "gallery.sqlite")) as store, store.transaction() as writer:
        writer.delete([9])
    seen: list[str] = []
    with pytest.raises(StoppedError):
        back(folder, out, progress=lambda now, *_: seen.append(now), stop_asked=lambda: phase in seen)
    assert tree(out) == before


def test_a_full_disk_leaves_the_earlier_one(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "backup"
    back(folder, out)
    before = tree(out)
    with closing(open_gallery(folder, MODEL, DIM)) as gallery:
        gallery.enrol([enrolment(70)])
    num_done = 0
    for last in range(20):
        num_syncs = 0

        def full(descriptor: int, last: int = last) -> None:
            nonlocal num_syncs
            num_syncs += 1
            if num_syncs > last:
                raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            try:
                back(folder, out)
                num_done += 1
            except GalleryFullError:
                after = tree(out)
                assert Backup.read(out).num_records in (len(RECORDS), len(RECORDS) + 1)
                if Backup.read(out).num_records == len(RECORDS):
                    assert {name: after[name] for name in before} == before
    assert num_done
    assert Backup.read(out).num_records == len(RECORDS) + 1
    assert not list(out.glob("*.tmp*"))


def change(gallery: Gallery, stop: threading.Event) -> None:
    for number in range(100, 10_000):
        if stop.is_set():
            return
        gallery.enrol([enrolment(number), enrolment(number + 20_000)])
        gallery.delete(record(number).id)


def test_a_backup_while_others_enrol_and_delete_is_of_one_moment(folder: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    with closing(open_gallery(folder, MODEL, DIM)) as gallery:
        thread = threading.Thread(target=change, args=(gallery, stop))
        thread.start()
        try:
            for number in range(6):
                outcome = back(folder, tmp_path / "backup")
                assert outcome.lost_images == {}
                assert outcome.damaged_records == []
                new = restored(tmp_path / "backup", tmp_path / f"new-{number}")
                assert_sound(new)
                # Of the pairs that are enrolled together none or both were there, or the first was deleted.
                ids = stored_values(new).keys()
                assert ids >= ALL.keys()
                firsts = [seed for seed in range(100, 10_000) if record(seed).id in ids]
                assert all(record(seed + 20_000).id in ids for seed in firsts)
                assert len(firsts) <= 1
        finally:
            stop.set()
            thread.join()
    assert image(100)


@pytest.mark.parametrize("num_kills", [4, pytest.param(40, marks=pytest.mark.trial)])
def test_killed_at_any_moment_it_is_the_earlier_one_or_the_new_one(tmp_path: Path, num_kills: int) -> None:
    old, new = write_gallery(tmp_path / "old", RECORDS[:6]), write_gallery(tmp_path / "new")
    out = tmp_path / "backup"
    back(old, out)
    for number, _ in enumerate(kills(["index.backup", "--data-dir", new, "--out", out, "--quiet"], num_kills, seed=1)):
        again = restored(out, tmp_path / f"restored-{number}")
        assert len(stored_values(again)) in (6, len(RECORDS))
        assert_sound(again)
    assert stored_values(restored(out, tmp_path / "last")) == ALL
