"""A real process is killed at any moment; what it acknowledged must be there, whole, and nothing half-done."""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from index.embedded.gallery_check import check_folder
from index.embedded.opening import open_gallery
from index.gallery.record import content_hash
from tests.index.embedded.enrolling_process import DIM, SIZES, Operation, operation
from tests.index.embedded.gallery_oracle import State, assert_is, stored
from tests.index.embedded.layout_1 import bring_to_layout_1, ids_in_layout_1
from tests.index.records import MODEL, values

ROOT: Final = Path(__file__).resolve().parents[3]
# The moments at which it is killed: of its calls, and of what it does by itself.
PHASES: Final = (
    "patch of many",
    "deletion of many",
    "undo",
    "saving the snapshot",
    "migration",
    "enrolment",
    "loading the snapshot",
    "compaction",
    "learning a folding",
    "folding all blocks",
    "deletion",
    "update",
    "deletion of a batch",
    "opening",
    "closing",
)
FOLDING: Final = ("learning a folding", "folding all blocks")
# The process does each of these many times a second: without it by then, something is wrong.
MOST_LINES: Final = 5000


def run_until_killed(folder: Path, first_operation: int, phase: str, rng: random.Random) -> list[str]:
    """All that the process said until it was killed, at some moment after a phase had begun."""
    folding_growth = 1 if phase in FOLDING else rng.choice([2, 4])
    command = [sys.executable, "-m", "tests.index.embedded.enrolling_process"]
    arguments = [str(folder), str(first_operation), str(folding_growth)]
    num_beginnings = 1 if phase in ("migration", "opening", *FOLDING) else rng.choice([1, 2, 3, 5])
    lines: list[str] = []
    with subprocess.Popen([*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while num_beginnings and len(lines) < MOST_LINES:
            lines.append(process.stdout.readline())
            num_beginnings -= lines[-1].startswith(f"{phase} begins")
        time.sleep(rng.choice([0, 0, rng.uniform(0, 0.002), rng.uniform(0, 0.01)]))
        process.kill()
        lines += process.stdout.readlines()
        assert process.wait() == -signal.SIGKILL
    assert not num_beginnings, f"{phase} never began"
    return [line.strip() for line in lines]


def under_way(lines: Sequence[str]) -> set[str]:
    """The phases that had begun and not ended."""
    begun: Counter[str] = Counter()
    for line in lines:
        phase, began, _ = line.partition(" begins")
        if began:
            begun[phase] += 1
        else:
            begun[line.partition(" ends")[0]] -= 1
    return {phase for phase, number in begun.items() if number}


def operations_in(lines: Sequence[str], what: str) -> list[Operation]:
    """Those that began, or that ended and so were acknowledged."""
    numbers = [line.split(what)[1] for line in lines if what in line]
    return [operation(int(number)) for number in numbers if number]


class Trial:
    """A folder, what is known to be in it, and what the kills fell into."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng = folder, rng
        self.state: State = {}
        self.next_operation = 0
        # The records of the database that was last brought to layout 1.
        self.migrated: list[str] | None = None
        self.num_kills: Counter[str] = Counter()

    def kill(self, phase: str) -> None:
        """Lets the process go on where it was killed, kills it in a phase, and checks all that is there then."""
        if phase == "migration" and operation(self.next_operation).name == "undo":
            # The first layout has no place for what an undo brings back.
            phase = "undo"
        if phase == "migration":
            bring_to_layout_1(self.folder)
            self.migrated = [*self.state]
        if phase in FOLDING:
            # It may say that no folding is to be learned for long.
            shutil.rmtree(self.folder / "snapshot", ignore_errors=True)
        lines = run_until_killed(self.folder, self.next_operation, phase, self.rng)
        self.num_kills.update(under_way(lines) or {"between two phases"})
        for done in operations_in(lines, " ends "):
            self.state = done.effect(self.state)
        asked = operations_in(lines, " begins ")
        unfinished = asked[len(operations_in(lines, " ends ")) :]
        assert len(unfinished) <= 1
        after = unfinished[0].effect(self.state) if unfinished else self.state
        if asked:
            # What was cut short is asked for again.
            self.next_operation = unfinished[0].number if unfinished else asked[-1].number + 1
        self.check(after)

    def check(self, after: State) -> None:
        """The gallery has the records of before the unfinished operation, or all and only those of after it."""
        folder = self.folder
        if self.rng.random() < 0.5:
            # Then the process goes on with what the kill has left.
            folder = self.folder.with_name("copy")
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(self.folder, folder)
        if (folder / "gallery.sqlite").exists():
            found = check_folder(folder, lambda *_: None, lambda: False)
            assert found.sound, found
        with closing(open_gallery(folder, MODEL, DIM, SIZES)) as gallery:
            if stored(gallery) == {id_: values(record) for id_, record in after.items()}:
                self.state = after
            assert_is(gallery, self.state, seed=self.rng.randrange(1 << 30))
            for record in self.state.values():
                assert content_hash(gallery.image(record)) == record.content
            # An enrolment that was cut short may have left images; they are kept and counted.
            files = {path.name for path in (folder / "images").rglob("*") if path.is_file()}
            named = {record.content for record in self.state.values()}
            assert files >= named
            assert gallery.stats(0).stray_images == len(files - named)
            gallery.empty_trash(timedelta(0))
        found = check_folder(folder, lambda *_: None, lambda: False)
        assert found.sound, found
        if self.migrated is not None:
            assert ids_in_layout_1(folder / "gallery.sqlite.layout-1") == self.migrated


@pytest.mark.parametrize(("num_phases", "num_kills"), [(8, 1), pytest.param(len(PHASES), 12, marks=pytest.mark.trial)])
def test_whatever_was_acknowledged_survives_a_kill(tmp_path: Path, num_phases: int, num_kills: int) -> None:
    """So many kills in each phase; a phase may be over before the kill arrives, and is then tried again."""
    trial = Trial(tmp_path / "data", random.Random(num_kills))
    for number in range(4 * num_phases * num_kills):
        pending = [phase for phase in PHASES[:num_phases] if trial.num_kills[phase] < num_kills]
        if not pending:
            break
        trial.kill(pending[number % len(pending)])
    sys.stdout.write(f"{number} kills, by what was under way: {dict(trial.num_kills)}\n")
    assert pending == []
