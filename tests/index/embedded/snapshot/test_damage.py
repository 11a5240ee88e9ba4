"""Whatever happens to the files of a snapshot: the gallery opens, is right, and says what was damaged."""

import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from index.embedded.search.row_blocks import RowBlocks
from index.gallery.fields import Fields
from index.gallery.record import Record
from tests.index.embedded.snapshot.stored_rows import StoredRows, files, one

NUM: Final = 50
KINDS: Final = ["manifest.json", "keys", "vectors", "folded", "folding"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> StoredRows:
    """The snapshot of two saves: three blocks, and several pieces of the last one."""
    rows = StoredRows(tmp_path_factory.mktemp("saved"))
    for start in (0, NUM - 7):
        with rows.opened() as blocks:
            rows.enrol(blocks, [one(seed) for seed in range(start, NUM if start else NUM - 7)])
            blocks.settle()
            rows.delete(blocks, [start + 3])
    return rows


@pytest.fixture
def rows(saved: StoredRows, tmp_path: Path) -> StoredRows:
    """A copy of it, to be damaged."""
    copy = StoredRows(tmp_path)
    shutil.copytree(saved.folder, copy.folder)
    copy.store.rows, copy.store.last_seq = saved.store.rows, saved.store.last_seq
    return copy


def of_kind(rows: StoredRows, kind: str) -> list[Path]:
    return sorted(path for path in rows.folder.iterdir() if path.name.endswith(kind))


def assert_recovers(rows: StoredRows, caplog: pytest.LogCaptureFixture) -> bool:
    """Whether it reported damage: it is right at once, says each damage once, and is whole again at the next start."""
    with rows.opened() as blocks:
        rows.assert_right(blocks)
        problems = list(blocks.problems)
        assert [problem for problem in problems if caplog.text.count(problem) != 1] == []
        blocks.settle()
        rows.assert_right(blocks)
    caplog.clear()
    with rows.opened() as blocks:
        rows.assert_right(blocks)
        assert blocks.problems == []
        assert all(of_block.block.folded is not None for of_block in blocks._blocks)
    assert caplog.records == []
    return bool(problems)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(8))
def test_a_flipped_bit(rows: StoredRows, kind: str, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    rng = random.Random(seed)
    path = rng.choice(of_kind(rows, kind))
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    reported = assert_recovers(rows, caplog)
    # Only white space of the manifest may change and mean the same.
    assert reported or kind == "manifest.json"
    aside = "manifest.damaged" if kind == "manifest.json" else f"{kind}.damaged"
    assert not reported or (rows.folder / aside).read_bytes() == data


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["empty", "half", "last byte", "longer", "missing", "a folder", "zeroes"])
def test_a_file_of_another_length_or_kind(
    rows: StoredRows, kind: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = of_kind(rows, kind)[-1]
    data = path.read_bytes()
    path.unlink()
    if how == "a folder":
        path.mkdir()
    elif how != "missing":
        changed = {"empty": b"", "half": data[: len(data) // 2], "last byte": data[:-1], "longer": data + b"x"}
        path.write_bytes(changed.get(how, bytes(len(data))))
    reported = assert_recovers(rows, caplog)
    assert reported == ((kind, how) != ("manifest.json", "missing"))


def test_every_file_damaged_at_once(rows: StoredRows, caplog: pytest.LogCaptureFixture) -> None:
    for path in rows.folder.iterdir():
        if path.name != "manifest.json":
            path.write_bytes(path.read_bytes()[::-1])
    assert assert_recovers(rows, caplog)
    aside = {path.name for path in rows.folder.iterdir() if path.suffix == ".damaged"}
    # Without the folding, folded vectors are of no use and are not read.
    assert aside == {"keys.damaged", "vectors.damaged", "folding.damaged"}


def test_two_pieces_of_one_length_that_changed_places(rows: StoredRows, caplog: pytest.LogCaptureFixture) -> None:
    first, second, *_ = of_kind(rows, "vectors")
    assert first.stat().st_size == second.stat().st_size
    swapped = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(swapped)
    assert assert_recovers(rows, caplog)


def test_a_file_where_the_folder_should_be_costs_the_snapshot_only(
    rows: StoredRows, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(rows.folder)
    rows.folder.write_bytes(b"in the way")
    with rows.opened() as blocks:
        rows.assert_right(blocks)
        assert blocks.problems == [f"{rows.folder}/manifest.json cannot be read: Not a directory"]
        blocks.settle()
        rows.assert_right(blocks)
    assert "the index's snapshot cannot be saved" in caplog.text
    assert rows.folder.read_bytes() == b"in the way"


def test_the_folder_may_be_removed_at_any_time(rows: StoredRows, caplog: pytest.LogCaptureFixture) -> None:
    with rows.opened() as blocks:
        shutil.rmtree(rows.folder)
        rows.enrol(blocks, [one(seed) for seed in range(NUM, NUM + 20)])
        blocks.settle()
        rows.assert_right(blocks)
    with rows.opened() as blocks:
        rows.assert_right(blocks)
    with rows.opened() as blocks:
        rows.assert_right(blocks)
        assert blocks.problems == []


def test_what_a_killed_save_left_is_ignored_and_removed(rows: StoredRows, caplog: pytest.LogCaptureFixture) -> None:
    """At any moment before the rename there are new files that nobody names; other people's files stay."""
    before = files(rows.folder)
    for name in ("000999.vectors", "001000.keys", "manifest.tmp"):
        (rows.folder / name).write_bytes(b"half of it")
    (rows.folder / "README").write_bytes(b"not ours")
    with rows.opened() as blocks:
        assert blocks.problems == []
        rows.assert_right(blocks)
        rows.enrol(blocks, [one(seed) for seed in range(NUM, NUM + 10)])
    after = files(rows.folder)
    assert {"000999.vectors", "001000.keys", "manifest.tmp"}.isdisjoint(after)
    assert after["README"] == b"not ours"
    assert {name: after[name] for name in before.keys() & after.keys() if name != "manifest.json"}
    assert caplog.records == []


def test_an_older_snapshot_of_the_same_records_is_caught_up_with(rows: StoredRows, tmp_path: Path) -> None:
    older = tmp_path / "older"
    shutil.copytree(rows.folder, older)
    with rows.opened() as blocks:
        rows.enrol(blocks, [one(seed) for seed in range(NUM, NUM + 40)])
        blocks.settle()
        rows.delete(blocks, [seq for seq in range(1, 80) if seq % 4])
        blocks.compact()
    shutil.rmtree(rows.folder)
    older.rename(rows.folder)
    with rows.opened() as blocks:
        rows.assert_right(blocks)
        assert blocks.problems == []
    with rows.opened() as blocks:
        rows.assert_right(blocks)


class Machine(RuleBasedStateMachine):
    """Anything in any order, over many starts, kills, restored databases and damaged files."""

    @initialize()
    def start(self) -> None:
        self.root = Path(_root)
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir()
        self.rows = StoredRows(self.root, dim=3)
        self.seed = 0
        self.older = (self.rows.store.rows, self.rows.store.last_seq)
        self.blocks: RowBlocks = self.rows.open()

    def teardown(self) -> None:
        if hasattr(self, "blocks"):
            self.blocks.close()

    @rule(num=st.integers(1, 30))
    def enrol(self, num: int) -> None:
        self.rows.enrol(self.blocks, [one(self.seed + i, dim=3) for i in range(num)])
        self.seed += num

    @rule(share=st.floats(0, 1), seed=st.integers(0, 99))
    def delete(self, share: float, seed: int) -> None:
        rng = random.Random(seed)
        self.rows.delete(self.blocks, [seq for seq in self.rows.store.rows if rng.random() < share])

    @rule(seed=st.integers(0, 99), identity=st.sampled_from(["a", "b", None]))
    def update(self, seed: int, identity: str | None) -> None:
        if self.rows.store.rows:
            old = random.Random(seed).choice(list(self.rows.store.rows.values()))
            with self.rows.store.transaction() as writer:
                seq = writer.update(one_like(old, identity))
            self.blocks.update({seq: Fields(identity=identity)})

    @rule()
    def maintain(self) -> None:
        self.blocks.compact()
        self.blocks.refold()

    @rule(settle=st.booleans())
    def reopen(self, settle: bool) -> None:
        if settle:
            self.blocks.settle()
        self.blocks.close()
        self.blocks = self.rows.open()
        assert self.blocks.problems == []

    @rule()
    def killed(self) -> None:
        """What is on disk at this moment, without what closing would still write."""
        self.blocks.settle()
        copy = self.root / "copy"
        if self.rows.folder.exists():
            shutil.copytree(self.rows.folder, copy)
        self.blocks.close()
        shutil.rmtree(self.rows.folder, ignore_errors=True)
        if copy.exists():
            copy.rename(self.rows.folder)
        self.blocks = self.rows.open()
        assert self.blocks.problems == []

    @rule()
    def back_up(self) -> None:
        self.older = (self.rows.store.rows, self.rows.store.last_seq)

    @rule(enrolled=st.integers(0, 30))
    def restore(self, enrolled: int) -> None:
        """The records as they were backed up; some were enrolled since without an index."""
        self.blocks.close()
        self.rows.store.rows, self.rows.store.last_seq = self.older
        with self.rows.store.transaction() as writer:
            for _ in range(enrolled):
                writer.insert(one(self.seed, dim=3))
                self.seed += 1
        self.blocks = self.rows.open()

    @rule(seed=st.integers(0, 999))
    def damage(self, seed: int) -> None:
        rng = random.Random(seed)
        self.blocks.close()
        found = sorted(self.rows.folder.iterdir()) if self.rows.folder.exists() else []
        if found:
            path = rng.choice(found)
            data = bytearray(path.read_bytes())
            if data:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            path.write_bytes(data[: rng.choice([len(data), rng.randrange(len(data) + 1)])])
        self.blocks = self.rows.open()

    @invariant()
    def is_right(self) -> None:
        if hasattr(self, "blocks"):
            self.rows.assert_right(self.blocks)


def one_like(old: Record, identity: str | None) -> Record:
    return replace(old, fields=Fields(identity=identity))


_root = ""


def test_anything_in_any_order(tmp_path: Path) -> None:
    global _root
    _root = str(tmp_path / "rows")
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=10, stateful_step_count=25, deadline=None, database=None)
    )
