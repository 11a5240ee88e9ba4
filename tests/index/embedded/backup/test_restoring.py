import errno
import os
import random
import shutil
from pathlib import Path

import pytest

from index.embedded.backup.backing_up import StoppedError, back_up
from index.embedded.backup.restoring import RestoreOutcome, restore
from index.embedded.data_folder import GalleryLockedError, owned
from index.embedded.gallery_check import check_folder
from index.gallery.errors import GalleryError, GalleryFullError
from tests.index.embedded.stored_gallery import FRAMES, RECORDS, image_path, stored_values, tree, write_gallery
from tests.index.killed_command import kills
from tests.index.records import values

ALL = {one.id: values(one) for one in RECORDS}
LONE = RECORDS[8]


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    folder = write_gallery(tmp_path / "data")
    out = tmp_path / "backup"
    back_up(folder, out, check=False, prune=False, progress=lambda *_: None, stop_asked=lambda: False)
    return out


def run(backup: Path, target: Path, *, partial: bool = False) -> RestoreOutcome:
    return restore(backup, target, partial=partial, progress=lambda *_: None, stop_asked=lambda: False)


def left_of(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir() if target.name in path.name)


def test_a_folder_that_holds_a_gallery_or_anything_else_is_left_alone(backup: Path, tmp_path: Path) -> None:
    gallery = write_gallery(tmp_path / "other")
    before = tree(gallery)
    with pytest.raises(GalleryError, match="there is a gallery in"):
        run(backup, gallery)
    assert tree(gallery) == before
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").touch()
    with pytest.raises(GalleryError, match="is not empty"):
        run(backup, mine)
    with pytest.raises(GalleryError, match="is not empty"):
        run(backup, mine / "notes.txt")


def test_a_folder_that_a_service_owns_is_left_alone(backup: Path, tmp_path: Path) -> None:
    target = tmp_path / "new"
    target.mkdir()
    with owned(target), pytest.raises(GalleryLockedError):
        run(backup, target)
    run(backup, target)
    assert stored_values(target) == ALL


def test_every_flipped_bit_and_every_lost_file_is_found(backup: Path, tmp_path: Path) -> None:
    rng = random.Random(3)
    for name, data in tree(backup).items():
        if not data:
            continue  # the lock
        path = backup / name
        for _ in range(2):
            changed = bytearray(data)
            changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            path.write_bytes(changed)
            if name != "backup.json":
                with pytest.raises(GalleryError, match="damaged"):
                    run(backup, tmp_path / "new")
        path.unlink()
        with pytest.raises(GalleryError):
            run(backup, tmp_path / "new")
        path.write_bytes(data)
        assert left_of(tmp_path / "new") == []
    run(backup, tmp_path / "new")
    assert stored_values(tmp_path / "new") == ALL


def test_what_there_is_can_be_had(backup: Path, tmp_path: Path) -> None:
    image_path(backup, LONE.content).write_bytes(b"damaged")
    outcome = run(backup, tmp_path / "new", partial=True)
    assert outcome.lost_images.keys() == {LONE.content}
    assert stored_values(tmp_path / "new") == ALL
    (lost,) = check_folder(tmp_path / "new", lambda *_: None, lambda: False).gallery.lost_images
    assert lost.content == LONE.content


def test_images_of_earlier_backups_are_not_restored(backup: Path, tmp_path: Path) -> None:
    stray = image_path(backup, "0" * 64)
    stray.parent.mkdir()
    stray.touch()
    run(backup, tmp_path / "new")
    assert len([name for name in tree(tmp_path / "new") if name.startswith("images")]) == len(FRAMES)


def test_stopped_it_leaves_nothing(backup: Path, tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        restore(backup, tmp_path / "new", partial=False, progress=lambda *_: None, stop_asked=lambda: True)
    assert left_of(tmp_path / "new") == []


def test_a_full_disk_leaves_nothing(backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(GalleryFullError):
            run(backup, tmp_path / "new")
    assert left_of(tmp_path / "new") == []


def test_a_mount_point_is_filled_from_within(backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "volume"
    target.mkdir()
    (target / "lost+found").mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda self: self == target)
    moved = 0
    rename = Path.rename

    def interrupted(self: Path, to: Path) -> Path:
        nonlocal moved
        moved += 1
        if moved == 2:
            raise KeyboardInterrupt
        return rename(self, to)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", interrupted)
        # As a kill would leave it.
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            run(backup, target)
    # Images without a database: no service opens that, and the next restore clears it away.
    assert (target / "images").exists()
    assert not (target / "gallery.sqlite").exists()
    run(backup, target)
    assert stored_values(target) == ALL
    assert sorted(path.name for path in target.iterdir()) == ["gallery.lock", "gallery.sqlite", "images", "lost+found"]


@pytest.mark.parametrize("num_kills", [4, pytest.param(40, marks=pytest.mark.trial)])
def test_killed_at_any_moment_there_is_nothing_or_all_of_it(backup: Path, tmp_path: Path, num_kills: int) -> None:
    target = tmp_path / "new"
    command = ["index.restore", "--backup", backup, "--data-dir", target, "--quiet"]
    num_whole = 0
    for _ in kills(command, num_kills, seed=2):
        if target.exists():
            assert stored_values(target) == ALL
            assert check_folder(target, lambda *_: None, lambda: False).sound
            target.rename(tmp_path / f"whole-{num_whole}")
            num_whole += 1
    # The last was not killed.
    assert num_whole
    assert left_of(target) == []
