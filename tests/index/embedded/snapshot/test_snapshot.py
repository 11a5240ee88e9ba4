"""Snapshots of row blocks, above records in dictionaries; damage and kills are in `test_damage.py`."""

import errno
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index.embedded.disk import sync_folder
from index.embedded.search import folding
from index.embedded.search.folding import Folding
from index.embedded.snapshot import array_file, folder, snapshot
from index.gallery.fields import Fields
from index.gallery.record import ModelKey
from tests.index.embedded.snapshot.stored_rows import (
    BLOCK_ROWS,
    DIM,
    SIZES,
    StoredRows,
    files,
    folded_of,
    one,
    rows_of,
)
from tests.index.gallery.memory_backend import DictStore
from tests.index.records import MODEL, vector


@pytest.fixture
def rows(tmp_path: Path) -> StoredRows:
    return StoredRows(tmp_path)


def forbid_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on no embedding is read from the records, none is folded, and no folding is learned."""

    def failing(*_: Any) -> None:
        raise AssertionError("the snapshot should have been enough")

    def none_after(self: DictStore, seq: int, model: ModelKey) -> Iterator[Any]:
        assert not [key for key in self.rows if key > seq]
        return iter(())

    monkeypatch.setattr(DictStore, "records_after", none_after)
    monkeypatch.setattr(Folding, "of_sample", failing)
    fold = Folding.fold
    monkeypatch.setattr(Folding, "fold", lambda self, vectors: failing() if len(vectors) else fold(self, vectors))


@pytest.mark.parametrize("dim", [1, 8, DIM])
@pytest.mark.parametrize("num", [8, BLOCK_ROWS, 3 * BLOCK_ROWS + 5])
def test_rows_come_back_bit_for_bit_without_the_records(tmp_path: Path, num: int, dim: int) -> None:
    rows = StoredRows(tmp_path, dim=dim)
    with rows.opened() as blocks:
        rows.enrol(blocks, [one(seed, dim=dim) for seed in range(num)])
        blocks.settle()
        expected = rows_of(blocks), folded_of(blocks), blocks._refold_at, blocks.last_seq
        answer = blocks.search(vector(5, dim)[None], 7)
    with pytest.MonkeyPatch.context() as patch:
        forbid_records(patch)
        blocks = rows.open()
    assert (rows_of(blocks), folded_of(blocks), blocks._refold_at, blocks.last_seq) == expected
    assert blocks.problems == []
    for found, before in zip(blocks.search(vector(5, dim)[None], 7), answer, strict=True):
        assert found.seq.tolist() == before.seq.tolist()
        assert found.distance.tolist() == before.distance.tolist()
    # The blocks grow on as if nothing had been.
    rows.enrol(blocks, [one(seed, dim=dim) for seed in range(num, num + 30)])
    blocks.settle()
    rows.assert_right(blocks)
    blocks.close()


def test_a_save_writes_the_new_rows_alone(rows: StoredRows) -> None:
    with rows.opened() as blocks:
        rows.enrol(blocks, [one(seed) for seed in range(25)])
        blocks.settle()
    before = files(rows.folder)
    with rows.opened() as blocks:
        rows.enrol(blocks, [one(seed) for seed in range(25, 28)])
    after = files(rows.folder)
    assert {name: after[name] for name in before if name != "manifest.json"} == {
        name: data for name, data in before.items() if name != "manifest.json"
    }
    new = {name.split(".")[1]: len(after[name]) for name in after.keys() - before.keys()}
    assert new == {"keys": 3 * 48, "vectors": 3 * (4 + 4 * DIM), "folded": 3 * (8 + 4 * DIM)}


def test_saves_follow_growth(rows: StoredRows) -> None:
    with rows.opened() as blocks:
        rows.enrol(blocks, [one(seed) for seed in range(7)])
        blocks.settle()
        assert files(rows.folder) == {}
        rows.enrol(blocks, [one(7)])
        blocks.settle()
        first = files(rows.folder)
        rows.enrol(blocks, [one(seed) for seed in range(8, 15)])
        blocks.settle()
        assert files(rows.folder) == first
        rows.enrol(blocks, [one(15)])
        blocks.settle()
        assert files(rows.folder) != first


def test_few_rows_are_not_saved(rows: StoredRows) -> None:
    with rows.opened() as blocks:
        rows.enrol(blocks, [one(seed) for seed in range(7)])
    assert not rows.folder.exists()
    # Nor are fewer new ones than are read from the records in a moment, when the index is closed.
    rows.sizes = replace(SIZES, fewest_saved=3)
    with rows.opened() as blocks:
        rows.enrol(blocks, [one(seed) for seed in range(7, 12)])
    before = files(rows.folder)
    for seeds in ([12, 13], [14]):
        with rows.opened() as blocks:
            rows.enrol(blocks, map(one, seeds))
            rows.assert_right(blocks)
        assert (files(rows.folder) == before) == (seeds == [12, 13])


def test_deleted_and_changed_records_are_the_stores(rows: StoredRows, caplog: pytest.LogCaptureFixture) -> None:
    with rows.opened() as blocks:
        rows.enrol(blocks, [one(seed) for seed in range(45)])
    with rows.store.transaction() as writer:  # while no index was there
        writer.delete([1, 7, 20, 21, 45])
        for seed in (2, 30):
            writer.update(one(seed, identity="b"))
        writer.update(one(31, identity=None))
    with rows.opened() as blocks:
        rows.assert_right(blocks)
        assert (len(blocks), blocks.problems) == (40, [])
        blocks.update({5: Fields(identity="c")})
        assert rows_of(blocks)[5][2] == hash("c")
    assert caplog.records == []


def num_vector_bytes(folder: Path) -> int:
    return sum(len(data) for name, data in files(folder).items() if name.endswith(".vectors"))


def test_compacted_blocks_replace_those_on_disk(rows: StoredRows, monkeypatch: pytest.MonkeyPatch) -> None:
    with rows.opened() as blocks:
        rows.enrol(blocks, [one(seed) for seed in range(65)])
        blocks.settle()
        full = num_vector_bytes(rows.folder)
        rows.delete(blocks, [seq for seq in range(1, 66) if seq % 3])
        blocks.settle()
        assert num_vector_bytes(rows.folder) == full * 21 / 65
        expected = rows_of(blocks), folded_of(blocks)
    with pytest.MonkeyPatch.context() as patch:
        forbid_records(patch)
        blocks = rows.open()
    assert (rows_of(blocks), folded_of(blocks)) == expected
    rows.assert_right(blocks)
    blocks.close()


def test_many_deletions_while_it_was_closed_are_compacted_when_it_opens(rows: StoredRows) -> None:
    with rows.opened() as blocks:
        rows.enrol(blocks, [one(seed) for seed in range(65)])
    with rows.store.transaction() as writer:
        writer.delete(range(1, 41))
    with rows.opened() as blocks:
        blocks.settle()
        assert sum(of_block.num_rows for of_block in blocks._blocks) == 25
        rows.assert_right(blocks)
    with rows.opened() as blocks:
        rows.assert_right(blocks)


def test_everything_deleted(rows: StoredRows) -> None:
    with rows.opened() as blocks:
        rows.enrol(blocks, [one(seed) for seed in range(45)])
    with rows.store.transaction() as writer:
        writer.delete(range(1, 46))
    with rows.opened() as blocks:
        assert len(blocks) == 0
        rows.enrol(blocks, [one(3)])
        rows.assert_right(blocks)


def test_refolding_replaces_the_folded_vectors_and_no_others(rows: StoredRows) -> None:
    with rows.opened() as blocks:
        rows.enrol(blocks, [one(seed) for seed in range(45)])
        blocks.settle()
        before = files(rows.folder)
        blocks.refold()
        after = files(rows.folder)
        kept = {name for name in before.keys() & after.keys() if name != "manifest.json"}
        assert {name.split(".")[1] for name in kept} == {"keys", "vectors"}
        assert {name.split(".")[1] for name in after.keys() - before.keys()} == {"folding", "folded"}
        expected = folded_of(blocks)
    with pytest.MonkeyPatch.context() as patch:
        forbid_records(patch)
        blocks = rows.open()
    assert folded_of(blocks) == expected
    blocks.close()


def test_blocks_that_were_not_folded_in_time_are_folded_after_the_next_start(rows: StoredRows) -> None:
    with rows.opened() as blocks:
        rows.enrol(blocks, [one(seed) for seed in range(65)])
        blocks.settle()
        # As if it had been closed after the first block.
        block = blocks._blocks[0].block
        assert block.folded is not None
        learned = Folding.of_sample(block.vectors[:20])
        block.refold(learned, 20)
        blocks._folding = learned
        blocks._save()
    with rows.opened() as blocks:
        blocks.settle()
        foldings = {rows.block.folded.folding for rows in blocks._blocks if rows.block.folded is not None}
        assert len(foldings) == 1
        np.testing.assert_array_equal(foldings.pop().directions, learned.directions)
        rows.assert_right(blocks)


@pytest.mark.parametrize(("before", "now"), [(12, 5), (5, 12), (1, 0), (0, 3)])
def test_a_folding_of_more_or_fewer_directions_is_learned_anew_from_the_saved_embeddings(
    rows: StoredRows, monkeypatch: pytest.MonkeyPatch, before: int, now: int
) -> None:
    monkeypatch.setattr(folding, "NUM_FINE", before)
    with rows.opened() as blocks:
        rows.enrol(blocks, [one(seed) for seed in range(45)])
    saved = files(rows.folder)
    monkeypatch.setattr(folding, "NUM_FINE", now)
    with rows.opened() as blocks:
        blocks.settle()
        assert blocks.problems == []
        for of_block in blocks._blocks:
            assert of_block.block.folded is not None
            assert of_block.block.folded.fine_vectors.shape == (BLOCK_ROWS, now)
        rows.assert_right(blocks)
        after = files(rows.folder)
        assert {name.split(".")[1] for name in saved.keys() & after.keys()} == {"keys", "vectors", "json"}
        expected = folded_of(blocks)
    # It was saved: the next start learns nothing.
    with pytest.MonkeyPatch.context() as patch:
        forbid_records(patch)
        blocks = rows.open()
    assert folded_of(blocks) == expected
    blocks.close()


@pytest.mark.parametrize(
    "other", [(ModelKey("b" * 64, "float32"), DIM), (ModelKey("a" * 64, "bf16"), DIM), (MODEL, DIM - 1)]
)
def test_that_of_another_model_is_left_alone_until_this_one_saves(
    rows: StoredRows, tmp_path: Path, other: tuple[ModelKey, int], caplog: pytest.LogCaptureFixture
) -> None:
    with rows.opened() as blocks:
        rows.enrol(blocks, [one(seed) for seed in range(45)])
    before = files(rows.folder)
    model, dim = other
    others = StoredRows(tmp_path, model, dim)
    with others.opened() as blocks:
        assert len(blocks) == 0
        others.enrol(blocks, [one(seed, dim=dim, model=model) for seed in range(3)])
    assert files(rows.folder) == before
    with rows.opened() as blocks:
        rows.assert_right(blocks)
    with others.opened() as blocks:
        others.enrol(blocks, [one(seed, dim=dim, model=model) for seed in range(3, 30)])
    assert not before.keys() & files(rows.folder).keys() - {"manifest.json"}
    with others.opened() as blocks:
        others.assert_right(blocks)
    assert caplog.records == []


def test_an_older_database_that_gave_the_seqs_to_other_records_is_believed(
    rows: StoredRows, caplog: pytest.LogCaptureFixture
) -> None:
    with rows.opened() as blocks:
        rows.enrol(blocks, [one(seed) for seed in range(30)])
        older = rows.store.rows, rows.store.last_seq
        rows.enrol(blocks, [one(seed) for seed in range(30, 70)])
    rows.store.rows, rows.store.last_seq = older
    with rows.store.transaction() as writer:
        for seed in range(200, 240):
            writer.insert(one(seed))
    with rows.opened() as blocks:
        rows.assert_right(blocks)
        assert blocks.problems == []
    assert "3 blocks of the snapshot have other rows than gallery.sqlite has records" in caplog.text
    caplog.clear()
    with rows.opened() as blocks:
        rows.assert_right(blocks)
    assert caplog.records == []


@pytest.mark.parametrize("num_older", [0, 3, 20, 30, 40, 69])
def test_an_older_database_that_has_not_given_the_seqs_yet_gives_them_to_others(
    rows: StoredRows, num_older: int
) -> None:
    older = rows.store.rows, 0
    with rows.opened() as blocks:
        for seed in range(70):
            if seed == num_older:
                older = rows.store.rows, rows.store.last_seq
            rows.enrol(blocks, [one(seed)])
    rows.store.rows, rows.store.last_seq = older
    with rows.opened() as blocks:
        rows.assert_right(blocks)
        rows.enrol(blocks, [one(seed) for seed in range(300, 303)])
        rows.assert_right(blocks)
        assert len(blocks) == num_older + 3
    with rows.opened() as blocks:
        rows.assert_right(blocks)


def test_the_same_record_enrolled_anew_after_an_older_database_has_its_new_embedding(rows: StoredRows) -> None:
    with rows.opened() as blocks:
        rows.enrol(blocks, [one(seed) for seed in range(29)])
        older = rows.store.rows, rows.store.last_seq
        rows.enrol(blocks, [one(29)])
    rows.store.rows, rows.store.last_seq = older
    from dataclasses import replace
    from datetime import timedelta

    again = one(29)
    again = replace(again, embedding=vector(999, DIM), enrolled_at=again.enrolled_at + timedelta(microseconds=1))
    with rows.store.transaction() as writer:
        writer.insert(again)
    with rows.opened() as blocks:
        rows.assert_right(blocks)
        assert rows_of(blocks)[30][:2] == (one(29).id, vector(999, DIM).tobytes())


def test_records_that_an_older_database_brings_back_come_back(rows: StoredRows) -> None:
    with rows.opened() as blocks:
        rows.enrol(blocks, [one(seed) for seed in range(70)])
        older = rows.store.rows
        rows.delete(blocks, [seq for seq in range(1, 71) if seq % 5])
        blocks.compact()
    rows.store.rows = older
    with rows.opened() as blocks:
        rows.assert_right(blocks)
        assert len(blocks) == 70


def test_a_damaged_record_does_not_keep_its_block_from_being_loaded(
    rows: StoredRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rows.opened() as blocks:
        rows.store.broken = {4, 33}
        rows.enrol(blocks, [one(seed) for seed in range(1, 46) if seed != 60])
        assert len(blocks) == 43
    rows.store.found.clear()
    with monkeypatch.context() as patch:
        forbid_records(patch)
        blocks = rows.open()
    # It is read once more, and counts as damaged from the start.
    assert rows.store.num_damaged == 2
    rows.assert_right(blocks)
    blocks.close()
    rows.store.broken = {33}
    with rows.opened() as blocks:
        rows.assert_right(blocks)
        assert 4 in rows_of(blocks)


class FullDisk:
    """Of the calls that write, the one with this number fails, and what it wrote stays half written."""

    def __init__(self, fail_at: int) -> None:
        self.num_calls, self.fail_at = 0, fail_at

    def of(self, write: Any) -> Any:
        def call(*args: Any) -> Any:
            self.num_calls += 1
            if self.num_calls - 1 == self.fail_at:
                if write is array_file.write_arrays:
                    args[0].write_bytes(b"half")
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(*args)

        return call


@pytest.mark.parametrize("fail_at", range(13))
def test_a_full_disk_leaves_the_snapshot_before_and_the_next_save_works(
    rows: StoredRows, fail_at: int, caplog: pytest.LogCaptureFixture
) -> None:
    with rows.opened() as blocks:
        rows.enrol(blocks, [one(seed) for seed in range(25)])
        blocks.settle()
    before = files(rows.folder)
    blocks = rows.open()
    rows.enrol(blocks, [one(seed) for seed in range(25, 31)])
    disk = FullDisk(fail_at)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "write_arrays", disk.of(array_file.write_arrays))
        patch.setattr(folder, "sync_folder", disk.of(sync_folder))
        patch.setattr(os, "fsync", disk.of(os.fsync))
        patch.setattr(Path, "replace", disk.of(Path.replace))
        rows.enrol(blocks, [one(seed) for seed in range(31, 34)])
        blocks.settle()
    full = disk.num_calls > fail_at
    assert full == (fail_at < 12)
    assert full == ("the index's snapshot cannot be saved" in caplog.text)
    after = files(rows.folder)
    if full and after["manifest.json"] == before["manifest.json"]:
        assert {name: after[name] for name in before} == before
        assert set(after) - set(before) <= {"manifest.tmp"}
    rows.assert_right(blocks)
    # As if it had been killed: what is on disk now is opened beside.
    beside = StoredRows(rows.folder.parent / "beside")
    beside.folder.parent.mkdir()
    shutil.copytree(rows.folder, beside.folder)
    beside.store = rows.store
    with beside.opened() as copy:
        beside.assert_right(copy)
        assert copy.problems == []
    # The next save writes all that is missing.
    rows.enrol(blocks, [one(seed) for seed in range(34, 50)])
    blocks.close()
    with pytest.MonkeyPatch.context() as patch:
        forbid_records(patch)
        blocks = rows.open()
    assert blocks.problems == []
    rows.assert_right(blocks)
    blocks.close()


def test_the_records_are_left_some_room(
    rows: StoredRows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    needed = 48 * 10 + 10 * (4 + 4 * DIM)
    free = SIZES.left_free_bytes + needed - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("usage", (), {"free": free}))
    with rows.opened() as blocks:
        rows.enrol(blocks, [one(seed) for seed in range(10)])
        blocks.settle()
        assert files(rows.folder) == {}
        assert caplog.text.count(f"it needs {needed} bytes, the records are left") == 1
        free += 1
        blocks._save()
        assert "manifest.json" in files(rows.folder)


def test_an_error_of_another_kind_is_logged_and_searches_go_on(
    rows: StoredRows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(*_: Any) -> None:
        raise RuntimeError("unforeseen")

    with rows.opened() as blocks:
        monkeypatch.setattr(snapshot, "write_arrays", failing)
        rows.enrol(blocks, [one(seed) for seed in range(30)])
        blocks.settle()
        rows.assert_right(blocks)
    assert all(entry.levelno == logging.ERROR and "unforeseen" in entry.message for entry in caplog.records)
    assert len(caplog.records) >= 2
