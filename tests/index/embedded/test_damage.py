"""Whatever happens to any file of a gallery: it is found or does no harm, and all can be made whole again.

A damaged gallery is verified, opened and served as it is, repaired, and everything is enrolled again.
"""

import logging
import random
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from index.embedded.data_folder import owned
from index.embedded.gallery_check import FolderFindings, check_folder
from index.embedded.gallery_repair import repair_folder
from index.embedded.opening import open_gallery
from index.gallery.errors import GalleryError
from index.gallery.gallery import Gallery
from index.gallery.record import content_hash
from tests.index.embedded.enrolling_process import DIM, SIZES, UNDO_FOR, enrolments, operation
from tests.index.embedded.gallery_oracle import State, assert_is_searched, settle
from tests.index.embedded.layout_1 import bring_to_layout_1
from tests.index.naive_search import EVERYTHING
from tests.index.records import MODEL, values

# Operations before the older save, up to the newer one, and until the gallery was copied as a kill leaves it.
OLDER, NEWER, LAST = 12, 20, 30

Damage = Callable[[bytes, bytes, random.Random], bytes | None]
"""Makes of a file, of what it was at the older save and of chance what the disk has then; None: nothing."""


def flip_bit(data: bytes, _: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]


def zero_page(data: bytes, _: bytes, rng: random.Random) -> bytes:
    pages = pages_of(data)
    number = rng.randrange(len(pages))
    pages[number] = bytes(len(pages[number]))
    return b"".join(pages)


def swap_pages(data: bytes, _: bytes, rng: random.Random) -> bytes:
    pages = pages_of(data)
    i, j = rng.randrange(len(pages)), rng.randrange(len(pages))
    pages[i], pages[j] = pages[j], pages[i]
    return b"".join(pages)


def truncate(data: bytes, _: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def append_garbage(data: bytes, _: bytes, rng: random.Random) -> bytes:
    return data + rng.randbytes(rng.choice([1, 100, 5000]))


def remove(*_: object) -> None:
    return None


def put_back_older(_: bytes, older: bytes, __: random.Random) -> bytes:
    return older


def overwrite(data: bytes, _: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(len(data))


def pages_of(data: bytes) -> list[bytes]:
    """Those of SQLite, or a few of a small file."""
    size = 4096 if len(data) >= 8192 else max(1, len(data) // 4)
    return [data[start : start + size] for start in range(0, len(data), size)]


DAMAGES: Final[list[Damage]] = [
    flip_bit, zero_page, swap_pages, truncate, append_garbage, remove, put_back_older, overwrite,
]  # fmt: skip
KINDS: Final = (
    "gallery.sqlite",
    "gallery.sqlite-wal",
    "gallery.sqlite-shm",
    "gallery.sqlite.layout-1",
    "gallery.lock",
    "images",
    "trash",
    "manifest.json",
    "keys",
    "vectors",
    "folded",
    "folding",
)


class Saved(NamedTuple):
    """A gallery as a kill leaves it, and what was in it over time.

    Attributes:
        folder: with a write-ahead log.
        older: by path, the bytes of its files when it was closed some operations before.
        state: what it holds.
        logged: what it held before the commits in its write-ahead log, and after each of them.
        history: by id, everything that each record ever was.
    """

    folder: Path
    older: dict[str, bytes]
    state: State
    logged: list[State]
    history: dict[str, list[dict[str, object]]]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    root = tmp_path_factory.mktemp("saved")
    folder, copy = root / "data", root / "copy"
    state: State = {}
    history: dict[str, list[dict[str, object]]] = defaultdict(list)
    older: dict[str, bytes] = {}
    logged: list[State] = []
    for start, stop in [(0, OLDER), (OLDER, NEWER), (NEWER, LAST)]:
        logged = [state]
        with closing(opened(folder)) as gallery:
            for number in range(start, stop):
                operation(number).ask(gallery)
                state = operation(number).effect(state)
                logged.append(state)
                for id_, record in state.items():
                    if values(record) not in history[id_]:
                        history[id_].append(values(record))
            if stop == LAST:
                settle(gallery)
                shutil.copytree(folder, copy)
        if stop == OLDER:
            older = {str(path.relative_to(folder)): path.read_bytes() for path in files_in(folder)}
            bring_to_layout_1(folder)
    assert {kind_of(copy, path) for path in files_in(copy)} == {*KINDS}
    return Saved(copy, older, state, logged, history)


def opened(folder: Path) -> Gallery:
    return open_gallery(folder, MODEL, DIM, SIZES, undo_for=UNDO_FOR)


def described(state: State) -> dict[str, dict[str, object]]:
    return {id_: values(record) for id_, record in state.items()}


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def log_bytes(folder: Path) -> int:
    log = folder / "gallery.sqlite-wal"
    return log.stat().st_size if log.exists() else 0


def kind_of(folder: Path, path: Path) -> str:
    relative = path.relative_to(folder)
    if relative.parts[0] in ("images", "trash"):
        return relative.parts[0]
    return path.name if relative.parts[0] != "snapshot" or path.name == "manifest.json" else path.suffix[1:]


class Case:
    """One damage of a copy of the gallery, and what is made of it."""

    def __init__(self, saved: Saved, folder: Path, log: pytest.LogCaptureFixture) -> None:
        self.saved, self.folder, self.log = saved, folder, log
        shutil.copytree(saved.folder, folder)

    def damage(self, kind: str, damage: Damage, rng: random.Random) -> None:
        path = rng.choice([path for path in files_in(self.folder) if kind_of(self.folder, path) == kind])
        data = path.read_bytes() or b"\0"  # the lock is empty
        # A file that was not there then was another of its kind.
        of_kind = [name for name in self.saved.older if kind_of(self.folder, self.folder / name) == kind]
        name = str(path.relative_to(self.folder))
        older = self.saved.older.get(name if name in of_kind else rng.choice(of_kind or [name]), b"")
        changed = damage(data, older, rng)
        path.unlink() if changed is None else path.write_bytes(changed)

    def run(self, is_verified_first: bool) -> str:
        """How the damage showed itself; all that is asserted of it holds."""
        is_found = is_verified_first and not self.check().sound
        verdict = "found by verify" if is_found else self.serve()
        self.repair()
        self.enrol_again()
        return verdict

    def check(self) -> FolderFindings:
        return check_folder(self.folder, lambda *_: None, lambda: False)

    def serve(self) -> str:
        """Opens and serves it as it is: whatever it gives is right, and what it lacks it says."""
        self.log.clear()
        is_log_shorter = log_bytes(self.folder) < log_bytes(self.saved.folder)
        try:
            gallery = opened(self.folder)
        except GalleryError:
            return "refused"
        with closing(gallery):
            try:
                served = self.served(gallery)
            except GalleryError:
                return "an error"
            if gallery.num_damaged or gallery.num_damaged_images:
                verdict = "counted"
            elif gallery.index_problems:
                verdict = "index problem"
            else:
                verdict = "logged" if any(r.levelno >= logging.WARNING for r in self.log.records) else "harmless"
        if verdict == "harmless" and served != described(self.saved.state):
            # A shorter log is what a kill leaves in the middle of a commit: SQLite goes back to the commit before.
            assert is_log_shorter
            assert served in [described(state) for state in self.saved.logged]
            verdict = "an earlier commit"
        return verdict

    def served(self, gallery: Gallery) -> dict[str, dict[str, object]]:
        """All that it gives, which is what it once was."""
        records = {record.id: record for record in gallery.page(EVERYTHING, 1_000_000, None).records}
        for id_, record in records.items():
            assert values(record) in self.saved.history[id_]
            assert values(gallery.get(id_)) == values(record)
            try:
                assert content_hash(gallery.image(record)) == record.content
            except GalleryError:
                assert gallery.num_damaged_images
        for id_ in self.saved.history.keys() - records.keys():
            with pytest.raises(GalleryError):  # it is not there, or damaged
                gallery.get(id_)
        assert_is_searched(gallery, records, (EVERYTHING,), 7)
        return {id_: values(record) for id_, record in records.items()}

    def repair(self) -> None:
        with owned(self.folder):
            repair = repair_folder(self.folder, self.check())
        if repair.unreadable is not None:
            # As it says, a backup takes its place.
            for path in self.folder.glob("gallery.sqlite-*"):
                path.unlink()
            (self.folder / "gallery.sqlite").write_bytes(self.saved.older["gallery.sqlite"])
            with owned(self.folder):
                repair = repair_folder(self.folder, self.check())
            assert repair.unreadable is None

    def enrol_again(self) -> None:
        """It then has every record and image that it should have, and is sound."""
        everything = [one for number in range(LAST // 4 + 1) for one in enrolments(number)]
        with closing(opened(self.folder)) as gallery:
            gallery.enrol([one for one in everything if one.record.id in self.saved.state])
            served = self.served(gallery)
            assert served.keys() >= self.saved.state.keys()
            assert (gallery.num_damaged, gallery.num_damaged_images) == (0, 0)
            assert gallery.num_searchable == len(served)
        found = self.check()
        assert found.sound, found
        with closing(opened(self.folder)) as gallery:
            assert self.served(gallery) == served
            assert not gallery.index_problems


@pytest.mark.parametrize("num", [26, pytest.param(600, marks=pytest.mark.trial)])
def test_any_damage_is_found_or_harmless_and_can_be_mended(
    saved: Saved, tmp_path: Path, caplog: pytest.LogCaptureFixture, num: int
) -> None:
    rng = random.Random(num)
    verdicts: Counter[tuple[str, str]] = Counter()
    failures = []
    for number, (kind, damage) in enumerate(cases(num, rng)):
        folder = tmp_path / str(number)
        case = Case(saved, folder, caplog)
        case.damage(kind, damage, rng)
        try:
            verdicts[kind, case.run(is_verified_first=rng.random() < 0.4)] += 1
        except Exception as error:
            failures.append(f"{number}: {damage.__name__} of {kind}: {error!r}")
            sys.stdout.write(f"{failures[-1]}\n")
        shutil.rmtree(folder)
    for (kind, verdict), number in sorted(verdicts.items()):
        sys.stdout.write(f"{kind}: {number} {verdict}\n")
    assert failures == []


def cases(num: int, rng: random.Random) -> Iterator[tuple[str, Damage]]:
    """Every damage to every kind of file, in any order, and again."""
    while num > 0:
        every = list(product(KINDS, DAMAGES))
        rng.shuffle(every)
        yield from every[:num]
        num -= len(every)


@pytest.mark.parametrize("from_its_end", [1, 100, 4096, 5000])
def test_a_commit_that_the_write_ahead_log_lost_is_said(
    saved: Saved, tmp_path: Path, caplog: pytest.LogCaptureFixture, from_its_end: int
) -> None:
    """The last one changed a field: no image is left without its record, and no checksum fails."""
    case = Case(saved, tmp_path / "data", caplog)
    path = case.folder / "gallery.sqlite-wal"
    data = path.read_bytes()
    # It is as long as the longest log of the database was; what lies behind its last commit is an older one's.
    path.write_bytes(data[:-from_its_end] + bytes([data[-from_its_end] ^ 1]) + data[len(data) - from_its_end + 1 :])
    assert not case.check().sound
    assert case.serve() == "logged"
    assert "the write-ahead log is damaged: its last commits are lost; what was enrolled" in caplog.text
