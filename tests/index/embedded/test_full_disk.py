"""A disk that is full at any moment: each refusal says so, nothing acknowledged is lost, and searches go on."""

import logging
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest

from index.embedded.index_sizes import IndexSizes
from index.embedded.opening import open_gallery
from index.gallery.errors import GalleryFullError
from index.gallery.gallery import Gallery
from index.gallery.record import content_hash
from tests.index.embedded.enrolling_process import DIM, OPERATIONS, SIZES, UNDO_FOR, operation
from tests.index.embedded.gallery_oracle import State, assert_is, settle, stored
from tests.index.records import MODEL, values

DISK_BYTES: Final = 1 << 24


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk in memory."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this process may not mount a small disk: that needs root, and a container's leave")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


class Trial:
    """A gallery on the disk, and what it must hold."""

    def __init__(self, disk: Path, sizes: IndexSizes, rng: random.Random) -> None:
        self.folder, self.ballast = disk / "data", disk / "ballast"
        self.sizes, self.rng = sizes, rng
        self.state: State = {}
        self.outcomes: Counter[str] = Counter()
        self.gallery = self.open()

    def open(self) -> Gallery:
        return open_gallery(self.folder, MODEL, DIM, self.sizes, undo_for=UNDO_FOR)

    def fill(self, after_s: float, left: int) -> None:
        """Leaves so many bytes of the disk."""
        time.sleep(after_s)
        with suppress(OSError), self.ballast.open("ab", buffering=0) as file:
            while (size := shutil.disk_usage(self.folder).free - left) > 0:
                file.write(bytes(min(size, 1 << 16)))

    def ask(self, number: int, is_filled: bool) -> bool:
        """Asks for an operation, while the disk fills up; it has all of its effect, True, or none."""
        asked = operation(number)
        after = asked.effect(self.state)
        after_s = self.rng.choice([0, self.rng.uniform(0, 0.01)])
        left = self.rng.choice([0, self.rng.randrange(1 << 16)])
        filling = Thread(target=self.fill, args=(after_s, left))
        if is_filled:
            filling.start()
        try:
            asked.ask(self.gallery)
            self.outcomes[f"{asked.name} done"] += 1
            is_done = True
        except GalleryFullError:
            assert is_filled or self.ballast.exists()
            self.outcomes[f"{asked.name} refused"] += 1
            is_done = stored(self.gallery) == {id_: values(record) for id_, record in after.items()}
        if is_filled:
            filling.join()
        if is_done:
            self.state = after
        assert_is(self.gallery, self.state, seed=number)
        return is_done

    def reopen(self) -> None:
        """Also on the full disk, where an opening may be refused until there is room."""
        self.gallery.close()
        try:
            self.gallery = self.open()
            self.outcomes["opening done"] += 1
        except GalleryFullError:
            self.outcomes["opening refused"] += 1
            self.make_room()
            self.gallery = self.open()
        assert_is(self.gallery, self.state)

    def make_room(self) -> None:
        self.ballast.unlink(missing_ok=True)

    def close(self) -> None:
        self.gallery.close()


def test_a_disk_without_any_room(disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(Trial(disk, SIZES, random.Random(1))) as trial:
        first, second = operation(0), operation(len(OPERATIONS))
        first.ask(trial.gallery)
        settle(trial.gallery)
        trial.fill(after_s=0, left=0)
        with pytest.raises(GalleryFullError):
            second.ask(trial.gallery)
        compact(trial.gallery)
        assert caplog.text.count("the index's snapshot cannot be saved") == 1
        assert_is(trial.gallery, first.effect({}))
        trial.make_room()
        caplog.clear()
        second.ask(trial.gallery)
        compact(trial.gallery)
        assert caplog.records == []
        assert_is(trial.gallery, second.effect(first.effect({})))
        trial.state = second.effect(first.effect({}))
        trial.reopen()


def compact(gallery: Gallery) -> None:
    """Has the snapshot saved anew, too."""
    index: Any = gallery._index
    index._rows.compact()


@pytest.mark.parametrize("num_operations", [40, pytest.param(1000, marks=pytest.mark.trial)])
@pytest.mark.parametrize("left_free_bytes", [0, 1 << 17])
def test_a_disk_that_fills_up_at_any_moment(
    disk: Path, num_operations: int, left_free_bytes: int, caplog: pytest.LogCaptureFixture
) -> None:
    rng = random.Random(num_operations + left_free_bytes)
    trial = Trial(disk, replace(SIZES, left_free_bytes=left_free_bytes), rng)
    number = 0
    with closing(trial):
        for _ in range(num_operations):
            # What was refused is asked for again.
            number += trial.ask(number, is_filled=rng.random() < 0.5)
            if rng.random() < 0.1:
                trial.reopen()
            if rng.random() < 0.5:
                trial.make_room()
            if rng.random() < 0.1:
                trial.gallery.empty_trash(timedelta(0))
            trial.outcomes["snapshot not saved"] += caplog.text.count("snapshot cannot be saved")
            errors = [one.message for one in caplog.records if one.levelno >= logging.ERROR]
            assert [error for error in errors if "snapshot cannot be saved" not in error] == []
            caplog.clear()
        trial.make_room()
        while operation(number).name != "enrolment" or not trial.state:
            number += trial.ask(number, is_filled=False)
        assert trial.ask(number, is_filled=False)
        settle(trial.gallery)
        trial.reopen()
        assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []
        for record in trial.state.values():
            assert content_hash(trial.gallery.image(record)) == record.content
    sys.stdout.write(f"{dict(trial.outcomes)}\n")
    assert (trial.folder / "snapshot" / "manifest.json").exists()
