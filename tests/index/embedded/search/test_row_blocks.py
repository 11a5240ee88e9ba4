import random
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from numpy.typing import NDArray

from index.embedded.index_sizes import IndexSizes
from index.embedded.search import certified_search, row_block, row_blocks
from index.embedded.search.folding import Folding
from index.embedded.search.row_block import Folded, RowBlock
from index.embedded.search.row_blocks import Passing, RowBlocks
from index.gallery.fields import Fields
from index.gallery.filters import Filter
from index.gallery.vector_index import Neighbours
from tests.index.embedded.naive_neighbours import (
    KINDS,
    Vectors,
    assert_same,
    fields_of,
    gallery,
    id_of,
    naive_neighbours,
    same,
)

BLOCK_ROWS: Final = 7


@pytest.fixture(scope="module", autouse=True)
def _small_constants() -> Iterator[None]:
    """Constants with which a few rows go all ways that many go."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(row_blocks, "_STRETCH_ROWS", 5)
        patched.setattr(row_block, "_CHUNK", 3)
        patched.setattr(row_block, "_CHUNK_OF_PAIRS", 3)
        for name, value in {"_MARGIN": 1, "_GROUPS": 2, "_FIRST_ROWS": 2, "_FEW_PAIRS": 1}.items():
            patched.setattr(certified_search, name, value)
        yield


def sizes(block_rows: int) -> IndexSizes:
    return IndexSizes(block_rows, first_folding=12, folding_growth=2, sample_rows=16)


def among(seqs: NDArray[np.int64]) -> Passing:
    """Lets rows of these seqs pass."""
    # A copy: `isin` looks twice at seqs, while the next ones are written.
    return lambda block: np.isin(block.seqs.copy(), seqs)


class Oracle:
    """Row blocks and what they must hold, seq by seq."""

    def __init__(self, dim: int, num_threads: int = 1, block_rows: int = BLOCK_ROWS) -> None:
        self.dim = dim
        self.blocks = RowBlocks(dim, num_threads, sizes(block_rows))
        self.rows: dict[int, Vectors] = {}
        self.fields: dict[int, Fields] = {}
        self.last_seq = 0

    def add(self, vectors: Vectors, gap: int = 0) -> list[int]:
        start = self.last_seq + 1 + gap
        seqs = list(range(start, start + (gap + 1) * len(vectors), gap + 1))
        fields = fields_of(seqs)
        self.blocks.add(vectors, seqs, [id_of(seq) for seq in seqs], fields)
        self.rows |= dict(zip(seqs, vectors, strict=True))
        self.fields |= dict(zip(seqs, fields, strict=True))
        self.last_seq = max([self.last_seq, *seqs])
        return seqs

    def remove(self, seqs: Sequence[int]) -> None:
        self.blocks.remove(seqs)
        for seq in seqs:
            self.rows.pop(seq, None)

    def update(self, seq: int, fields: Fields) -> None:
        self.blocks.update({seq: fields})
        self.fields[seq] = fields

    def assert_exact_of(self, identity: str, queries: Vectors, top_k: int) -> None:
        where = Filter(identity=identity)
        rows = {seq: vector for seq, vector in self.rows.items() if self.fields[seq].identity == identity}
        found = self.blocks.search(queries, top_k, lambda block: block.columns.passing(where))
        for neighbours, query in zip(found, queries, strict=True):
            assert_same(neighbours, naive_neighbours(rows, query, top_k))

    def assert_exact(self, queries: Vectors, top_k: int, seqs: Sequence[int] | None = None) -> None:
        rows = self.rows if seqs is None else {seq: self.rows[seq] for seq in set(seqs) & self.rows.keys()}
        found = self.blocks.search(queries, top_k, None if seqs is None else among(np.array(seqs, np.int64)))
        assert len(found) == len(queries)
        for neighbours, query in zip(found, queries, strict=True):
            assert_same(neighbours, naive_neighbours(rows, query, top_k))


@pytest.fixture
def closed() -> Iterator[list[RowBlocks]]:
    """What a test puts in here is closed at its end."""
    blocks: list[RowBlocks] = []
    yield blocks
    for one in blocks:
        one.close()


def oracle_of(closed: list[RowBlocks], dim: int, num_threads: int = 1, block_rows: int = BLOCK_ROWS) -> Oracle:
    oracle = Oracle(dim, num_threads, block_rows)
    closed.append(oracle.blocks)
    return oracle


kinds = st.sampled_from(sorted(KINDS))
seeds = st.integers(0, 2**32 - 1)


class Machine(RuleBasedStateMachine):
    """Anything in any order, against a dictionary and NumPy."""

    @initialize(dim=st.integers(1, 4) | st.just(70), num_threads=st.sampled_from([1, 3]), kind=kinds)
    def start(self, dim: int, num_threads: int, kind: str) -> None:
        self.oracle, self.kind = Oracle(dim, num_threads), kind

    def teardown(self) -> None:
        if hasattr(self, "oracle"):
            self.oracle.blocks.close()

    @rule(num=st.integers(1, 25), seed=seeds, other=st.none() | kinds, gap=st.integers(0, 2))
    def add(self, num: int, seed: int, other: str | None, gap: int) -> None:
        self.oracle.add(gallery(other or self.kind, num, self.oracle.dim, seed), gap)

    @rule(share=st.floats(0, 1), seed=seeds)
    def remove(self, share: float, seed: int) -> None:
        rng = random.Random(seed)
        # Some are there, some were there, some never were.
        self.oracle.remove([seq for seq in range(1, self.oracle.last_seq + 3) if rng.random() < share])

    @rule(
        num=st.integers(1, 4) | st.sampled_from([64, 200]),
        top_k=st.integers(1, 80),
        seed=seeds,
        other=st.none() | kinds,
    )
    def search(self, num: int, top_k: int, seed: int, other: str | None) -> None:
        self.oracle.assert_exact(self.queries(other or self.kind, num, seed), top_k)

    @rule(num=st.integers(1, 4), top_k=st.integers(1, 20), seed=seeds, share=st.sampled_from([0, 0.05, 0.5, 1]))
    def search_among_seqs(self, num: int, top_k: int, seed: int, share: float) -> None:
        rng = random.Random(seed)
        seqs = [seq for seq in range(self.oracle.last_seq + 3) if rng.random() < share]
        self.oracle.assert_exact(self.queries(self.kind, num, seed), top_k, seqs + seqs[:2])

    @rule(seed=seeds, identity=st.none() | st.sampled_from(["vehicle 0", "vehicle 1"]))
    def update(self, seed: int, identity: str | None) -> None:
        # It may be there, have been there, or never have been.
        self.oracle.update(random.Random(seed).randint(1, self.oracle.last_seq + 3), Fields(identity=identity))

    @rule(num=st.integers(1, 4), top_k=st.integers(1, 20), seed=seeds, number=st.integers(0, 3))
    def search_of_an_identity(self, num: int, top_k: int, seed: int, number: int) -> None:
        self.oracle.assert_exact_of(f"vehicle {number}", self.queries(self.kind, num, seed), top_k)

    @rule()
    def refold(self) -> None:
        self.oracle.blocks.refold()

    @rule()
    def compact(self) -> None:
        self.oracle.blocks.compact()

    @rule()
    def settle(self) -> None:
        self.oracle.blocks.settle()

    @invariant()
    def is_counted(self) -> None:
        if hasattr(self, "oracle"):
            assert len(self.oracle.blocks) == len(self.oracle.rows)
            assert self.oracle.blocks.last_seq == self.oracle.last_seq

    def queries(self, kind: str, num: int, seed: int) -> Vectors:
        queries = gallery(kind, num, self.oracle.dim, seed)
        if self.oracle.rows:
            queries[0] = self.oracle.rows[random.Random(seed).choice(sorted(self.oracle.rows))]
        return queries


def test_any_history_leaves_exact_answers() -> None:
    run_state_machine_as_test(
        Machine, settings=settings(derandomize=True, max_examples=40, stateful_step_count=25, deadline=None)
    )


@pytest.mark.trial
def test_any_history_leaves_exact_answers_in_a_long_run() -> None:
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=1000, stateful_step_count=60, deadline=None, database=None)
    )


@pytest.mark.parametrize("num", range(1, 3 * BLOCK_ROWS + 2))
def test_every_boundary_of_blocks_and_stretches(num: int, closed: list[RowBlocks]) -> None:
    oracle = oracle_of(closed, 3, num_threads=2)
    vectors = gallery("grid", num, 3, seed=num)
    oracle.add(vectors[: num // 2])
    oracle.add(vectors[num // 2 :])
    for top_k in (1, num - 1, num, num + 1):
        oracle.assert_exact(vectors[:3], max(top_k, 1))
    for seq in (1, 5, 6, 7, 8, num):
        oracle.assert_exact(vectors[:2], 3, [seq])
        oracle.assert_exact(vectors[:2], num, [other for other in range(1, num + 1) if other != seq])


def test_equal_rows_in_different_blocks_come_by_id(closed: list[RowBlocks]) -> None:
    oracle = oracle_of(closed, 4)
    row = gallery("noise", 1, 4, seed=0)
    seqs = oracle.add(np.repeat(row, 40, axis=0))
    (found,) = oracle.blocks.search(row, 5)
    assert found.seq.tolist() == sorted(seqs, key=id_of)[:5]
    assert found.distance.tolist() == [0] * 5
    oracle.remove(found.seq.tolist())
    oracle.assert_exact(row, 5)


@pytest.mark.parametrize("kind", ["clusters", "grid"])
def test_an_answer_does_not_depend_on_batch_threads_or_blocks(kind: str, closed: list[RowBlocks]) -> None:
    vectors, queries = gallery(kind, 150, 40, seed=0), gallery(kind, 80, 40, seed=1)
    answers = []
    for num_threads, block_rows, batch in [(1, 1000, 80), (1, 7, 1), (4, 7, 80), (3, 50, 33), (2, 3, 64)]:
        oracle = oracle_of(closed, 40, num_threads, block_rows)
        oracle.add(vectors)
        oracle.blocks.settle()
        found = [one for i in range(0, 80, batch) for one in oracle.blocks.search(queries[i : i + batch], 6)]
        answers.append([(one.seq.tolist(), one.distance.tolist(), one.searched) for one in found])
    assert all(answer == answers[0] for answer in answers)


def test_an_empty_gallery_finds_nothing(closed: list[RowBlocks]) -> None:
    oracle = oracle_of(closed, 3)
    oracle.blocks.refold()
    oracle.blocks.compact()
    oracle.remove([1])
    oracle.assert_exact(np.zeros((2, 3), np.float32), 5)
    oracle.add(np.empty((0, 3), np.float32))
    seqs = oracle.add(gallery("noise", 30, 3, seed=0))
    oracle.remove(seqs)
    oracle.blocks.compact()
    oracle.blocks.refold()
    oracle.assert_exact(np.zeros((2, 3), np.float32), 5)
    assert oracle.blocks.search(np.empty((0, 3), np.float32), 5) == []
    oracle.add(gallery("noise", 30, 3, seed=1))
    oracle.assert_exact(np.zeros((2, 3), np.float32), 5, [])


def test_a_folding_is_learned_as_rows_come(closed: list[RowBlocks]) -> None:
    oracle = oracle_of(closed, 3)
    oracle.add(gallery("noise", 11, 3, seed=0))
    oracle.blocks.settle()
    assert all(rows.block.folded is None for rows in oracle.blocks._blocks)
    oracle.add(gallery("noise", 20, 3, seed=1))
    oracle.blocks.settle()
    foldings = {id(rows.block.folded.folding) for rows in oracle.blocks._blocks if rows.block.folded is not None}
    assert (len(foldings), len(oracle.blocks._blocks)) == (1, 5)


def test_blocks_that_come_while_a_folding_is_learned_are_folded_too(
    closed: list[RowBlocks], monkeypatch: pytest.MonkeyPatch
) -> None:
    oracle = oracle_of(closed, 3)
    monkeypatch.setattr(oracle.blocks, "_refold_at", 1000)  # no second one makes up for it
    oracle.add(gallery("noise", 10, 3, seed=0))
    of_sample = Folding.of_sample

    def while_rows_come(sample: Vectors) -> Folding:
        oracle.add(gallery("noise", 40, 3, seed=1))
        return of_sample(sample)

    monkeypatch.setattr(Folding, "of_sample", while_rows_come)
    oracle.blocks.refold()
    oracle.assert_exact(gallery("noise", 3, 3, seed=2), 9)
    assert all(rows.block.folded is not None for rows in oracle.blocks._blocks)


def test_nobody_waits_for_a_block_that_is_folded_and_what_comes_meanwhile_is_folded_too(
    closed: list[RowBlocks], monkeypatch: pytest.MonkeyPatch
) -> None:
    oracle = oracle_of(closed, 3)
    monkeypatch.setattr(oracle.blocks, "_refold_at", 1000)
    seqs = oracle.add(gallery("noise", BLOCK_ROWS + 2, 3, seed=0))
    folded_by, num_meanwhile = RowBlock.folded_by, 0

    def while_rows_come_and_go(self: RowBlock, *args: Any) -> Folded:
        nonlocal num_meanwhile
        folded = folded_by(self, *args)
        if num_meanwhile < 2:  # not when a block is new
            num_meanwhile += 1
            oracle.add(gallery("noise", 2, 3, seed=num_meanwhile))
            oracle.remove([seqs[num_meanwhile], seqs[-num_meanwhile]])
        return folded

    monkeypatch.setattr(RowBlock, "folded_by", while_rows_come_and_go)
    oracle.blocks.refold()
    assert num_meanwhile == 2
    for rows in oracle.blocks._blocks:
        assert rows.block.folded is not None
        expected, _ = rows.block.folded.folding.fold(rows.block.vectors[: rows.num_rows])
        np.testing.assert_array_equal(rows.block.folded.coarse_vectors[: rows.num_rows], expected)
    oracle.assert_exact(gallery("noise", 3, 3, seed=9), 9)


def test_compaction_frees_what_is_dead(closed: list[RowBlocks]) -> None:
    oracle = oracle_of(closed, 3)
    seqs = oracle.add(gallery("noise", 10 * BLOCK_ROWS, 3, seed=0))
    oracle.remove([seq for seq in seqs if seq % 4])
    oracle.blocks.settle()
    held = sum(rows.num_rows for rows in oracle.blocks._blocks[:-1])
    assert held - sum(rows.num_alive for rows in oracle.blocks._blocks[:-1]) <= 0.25 * BLOCK_ROWS
    assert len(oracle.blocks._blocks) <= 4
    oracle.assert_exact(gallery("noise", 3, 3, seed=2), 50)
    oracle.remove(seqs[::3])
    oracle.assert_exact(gallery("noise", 3, 3, seed=2), 50)


def test_a_few_rows_that_come_and_go_do_not_fill_a_block(closed: list[RowBlocks]) -> None:
    oracle = oracle_of(closed, 3, block_rows=160)
    seqs: list[int] = []
    for seed in range(60):
        seqs += oracle.add(gallery("noise", 5, 3, seed=seed))
        oracle.remove(seqs[:-10])
        oracle.blocks.settle()
        (rows,) = oracle.blocks._blocks
        assert rows.num_dead <= 10  # a sixteenth of a block
    oracle.assert_exact(gallery("noise", 3, 3, seed=99), 50)


def test_rows_that_come_while_the_last_block_is_copied_are_there(
    closed: list[RowBlocks], monkeypatch: pytest.MonkeyPatch
) -> None:
    oracle = oracle_of(closed, 3, block_rows=100)
    seqs = oracle.add(gallery("noise", 60, 3, seed=0))
    put, num_added = RowBlock.put_rows_of, 0

    def put_while_rows_come(self: RowBlock, *args: Any) -> None:
        nonlocal num_added
        put(self, *args)
        if not num_added:  # these fill the block, and begin another one
            num_added = 55
            added = oracle.add(gallery("noise", num_added, 3, seed=1))
            oracle.remove([*added[:3], *added[-3:], seqs[50]])
            oracle.update(added[5], Fields(identity="late"))

    monkeypatch.setattr(RowBlock, "put_rows_of", put_while_rows_come)
    oracle.remove(seqs[:40])
    oracle.blocks.settle()
    assert num_added == 55
    assert [rows.num_alive for rows in oracle.blocks._blocks] == [60 - 40 - 1 + 40 - 3, 15 - 3]
    for top_k in (5, 100):
        oracle.assert_exact(gallery("noise", 3, 3, seed=2), top_k)
    oracle.assert_exact_of("late", gallery("noise", 3, 3, seed=2), 5)
    oracle.add(gallery("noise", 30, 3, seed=3))
    oracle.assert_exact(gallery("noise", 3, 3, seed=2), 100)


def test_what_changes_while_rows_are_copied_stays_changed(
    closed: list[RowBlocks], monkeypatch: pytest.MonkeyPatch
) -> None:
    oracle = oracle_of(closed, 3)
    seqs = oracle.add(gallery("noise", 5 * BLOCK_ROWS, 3, seed=0))
    oracle.blocks.settle()
    put, late, num_puts = RowBlock.put_rows_of, iter([[8, 9], [20, 30], seqs[-1:]]), 0

    def put_while_rows_change(self: RowBlock, *args: Any) -> None:
        nonlocal num_puts
        put(self, *args)
        oracle.remove(next(late, []))
        num_puts += 1
        for seq in (1, 7, 10):
            oracle.update(seq, Fields(identity=f"seen {num_puts} times"))

    monkeypatch.setattr(RowBlock, "put_rows_of", put_while_rows_change)
    oracle.remove([seq for seq in seqs if seq % 3 == 0])
    oracle.blocks.settle()
    monkeypatch.undo()
    assert next(late, None) is None
    oracle.assert_exact(gallery("noise", 3, 3, seed=1), 50)
    for identity in ("vehicle 0", "vehicle 1", "vehicle 2", *(f"seen {n} times" for n in range(num_puts + 1))):
        oracle.assert_exact_of(identity, gallery("noise", 3, 3, seed=1), 50)
    oracle.add(gallery("noise", 9, 3, seed=2))
    oracle.assert_exact(gallery("noise", 3, 3, seed=1), 50)


def test_a_search_sees_no_change_that_comes_after_it_began(
    closed: list[RowBlocks], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a row of an update without the other, whatever block they are in."""
    oracle = oracle_of(closed, 3)
    seqs = oracle.add(gallery("noise", 4 * BLOCK_ROWS, 3, seed=0))
    oracle.remove(seqs[:5])
    queries, before = gallery("noise", 3, 3, seed=1), dict(oracle.rows)
    search_stretch = certified_search.search_stretch
    changes = [
        lambda: oracle.remove(seqs[9:15]), lambda: oracle.add(gallery("noise", 10, 3, seed=2)),
        oracle.blocks.refold, lambda: oracle.remove(seqs[20:]), oracle.blocks.compact,
    ]  # fmt: skip

    def search_while_things_change(*args: Any, **kwargs: Any) -> int:
        found = search_stretch(*args, **kwargs)
        if changes:
            changes.pop(0)()
        return found

    monkeypatch.setattr(row_blocks, "search_stretch", search_while_things_change)
    found = oracle.blocks.search(queries, 30)
    assert changes == []
    for neighbours, query in zip(found, queries, strict=True):
        assert_same(neighbours, naive_neighbours(before, query, 30))
    oracle.assert_exact(queries, 30)


def test_what_cannot_be_added_changes_nothing(closed: list[RowBlocks], monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = oracle_of(closed, 3)
    oracle.add(gallery("noise", 5, 3, seed=0))
    new = gallery("noise", 20, 3, seed=1)
    ids = [id_of(seq) for seq in range(20)]
    infinite = new.copy()
    infinite[13, 1] = np.inf
    wrong: list[tuple[NDArray[Any], list[int], list[str], str]] = [
        (new, [5, *range(7, 26)], ids, "rise"),
        (new, [*range(6, 24), 30, 30], ids, "rise"),
        (infinite, list(range(6, 26)), ids, "finite"),
        (new[:, :1], list(range(6, 26)), ids, r"3 numbers"),
        (new[:19], list(range(6, 26)), ids, r"\(19, 3\)"),
        (new, list(range(6, 26)), ids[1:], "19 ids"),
    ]
    for vectors, seqs, these, message in wrong:
        with pytest.raises(ValueError, match=message):
            oracle.blocks.add(vectors, seqs, these, fields_of(seqs))
    put, num_blocks = RowBlock.put, 0

    def put_until_memory_ends(self: RowBlock, *args: Any) -> None:
        nonlocal num_blocks
        num_blocks += 1
        if num_blocks == 3:
            raise MemoryError
        put(self, *args)

    monkeypatch.setattr(RowBlock, "put", put_until_memory_ends)
    with pytest.raises(MemoryError):
        oracle.blocks.add(new, list(range(6, 26)), ids, fields_of(range(6, 26)))
    monkeypatch.undo()
    assert (len(oracle.blocks), oracle.blocks.last_seq) == (5, 5)
    oracle.assert_exact(new[:2], 30)
    oracle.add(gallery("noise", 20, 3, seed=2))
    oracle.assert_exact(new[:2], 30)


@pytest.mark.parametrize("query", [[[np.nan, 0, 0]], [[0, np.inf, 0]], [[0, 0]], [0, 0, 0]])
def test_a_query_must_be_finite_and_of_the_rows_size(query: list[Any], closed: list[RowBlocks]) -> None:
    oracle = oracle_of(closed, 3)
    with pytest.raises(ValueError, match="3 numbers"):
        oracle.blocks.search(np.array(query, np.float32), 5)
    with pytest.raises(ValueError, match="top_k must be 1 or more, got 0"):
        oracle.blocks.search(np.zeros((1, 3), np.float32), 0)


def test_maintenance_that_fails_is_logged_and_searches_stay_exact(
    closed: list[RowBlocks], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    oracle = oracle_of(closed, 3)

    def fail(sample: Vectors) -> Folding:
        raise MemoryError("no room to learn in")

    monkeypatch.setattr(Folding, "of_sample", fail)
    oracle.add(gallery("noise", 30, 3, seed=0))
    oracle.blocks.settle()
    assert "no room to learn in" in caplog.text
    oracle.assert_exact(gallery("noise", 2, 3, seed=1), 5)


def test_closing_waits_for_one_block_only(closed: list[RowBlocks], monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = oracle_of(closed, 3)
    oracle.add(gallery("noise", 10 * BLOCK_ROWS, 3, seed=0))
    oracle.blocks.settle()
    folded_by, num_folded, first = RowBlock.folded_by, 0, threading.Event()

    def folded_while_it_is_closed(self: RowBlock, *args: Any) -> Folded:
        nonlocal num_folded
        num_folded += 1
        first.set()
        assert oracle.blocks._closed.wait(60)
        return folded_by(self, *args)

    monkeypatch.setattr(RowBlock, "folded_by", folded_while_it_is_closed)
    refolding = threading.Thread(target=oracle.blocks.refold)
    refolding.start()
    assert first.wait(60)
    oracle.blocks.close()
    refolding.join()
    assert num_folded == 1


class Seen(NamedTuple):
    """An answer, and which states of the rows may have been there while it was looked for."""

    query: Vectors
    seqs: NDArray[np.int64] | None
    found: Neighbours
    first_state: int
    last_state: int


class Campaign:
    """One thread writes, one refolds and compacts, several search: each answer must be that of one state meanwhile."""

    TOP_K: Final = 6
    CHANGES_PER_ANSWER: Final = 5
    MOST_ROWS: Final = 300

    def __init__(self, num_answers: int, dim: int, seed: int) -> None:
        self.blocks = RowBlocks(dim, 2, sizes(29))
        self.vectors = gallery("grid", 1000, dim, seed)
        self.queries = gallery("grid", 50, dim, seed + 1)
        self.num_answers, self.seed = num_answers, seed
        self.states: list[frozenset[int]] = [frozenset()]  # the last may not have been reached yet
        self.num_done = 0  # changes: state `num_done` was reached
        self.done = threading.Event()
        self.seen: list[Seen] = []
        self.failures: list[BaseException] = []

    def run(self) -> None:
        threads = [threading.Thread(target=self.guarded, args=(task,)) for task in
                   (self.write, self.maintain, self.search, self.search, self.search)]  # fmt: skip
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(interval)
            self.blocks.close()
        if self.failures:
            raise self.failures[0]

    def guarded(self, task: Any) -> None:
        try:
            task()
        except BaseException as error:
            self.failures.append(error)
        finally:
            if task == self.write or self.failures:
                self.done.set()

    def write(self) -> None:
        rng = random.Random(self.seed)
        last_seq = 0
        while len(self.seen) < self.num_answers and not self.failures:
            # Neither side leaves the other behind, however fast the machine is.
            if self.num_done > self.CHANGES_PER_ANSWER * (len(self.seen) + 4):
                time.sleep(0)
                continue
            alive = self.states[-1]
            if not alive or (rng.random() < 0.6 and len(alive) < self.MOST_ROWS):
                seqs = list(range(last_seq + 1, last_seq + 1 + rng.randint(1, 19)))
                last_seq = seqs[-1]
                self.states.append(alive | set(seqs))
                self.blocks.add(
                    self.vectors[np.array(seqs) % 1000], seqs, [id_of(seq) for seq in seqs], fields_of(seqs)
                )
            else:
                seqs = rng.sample(sorted(alive), min(len(alive), rng.randint(1, 20)))
                self.states.append(alive - set(seqs))
                self.blocks.remove(seqs)
            self.num_done += 1

    def maintain(self) -> None:
        while not self.done.is_set():
            self.blocks.refold()
            self.blocks.compact()

    def search(self) -> None:
        rng = random.Random(threading.get_ident())
        while not self.done.is_set():
            if len(self.seen) > self.num_done:
                time.sleep(0)
                continue
            query = self.queries[rng.randrange(len(self.queries))]
            last_seq = self.blocks.last_seq
            seqs = None if rng.random() < 0.7 else np.arange(rng.randint(0, last_seq), last_seq + 10)
            first_state = self.num_done
            (found,) = self.blocks.search(query[None], self.TOP_K, None if seqs is None else among(seqs))
            self.seen.append(Seen(query, seqs, found, first_state, len(self.states) - 1))

    def is_right(self, seen: Seen) -> bool:
        for state in self.states[seen.first_state : seen.last_state + 1]:
            asked = state if seen.seqs is None else state & set(seen.seqs.tolist())
            rows = {seq: self.vectors[seq % 1000] for seq in asked}
            if len(rows) == seen.found.searched and same(seen.found, naive_neighbours(rows, seen.query, self.TOP_K)):
                return True
        return False


def assert_campaign_is_right(num_answers: int, dim: int, seed: int) -> None:
    campaign = Campaign(num_answers, dim, seed)
    campaign.run()
    overtaken = [seen for seen in campaign.seen if seen.first_state < seen.last_state]
    assert len(overtaken) > num_answers / 10
    for seen in campaign.seen:
        assert campaign.is_right(seen), seen


def test_every_answer_is_that_of_one_moment_while_rows_come_and_go() -> None:
    assert_campaign_is_right(num_answers=300, dim=5, seed=0)


@pytest.mark.trial
@pytest.mark.parametrize("seed", range(8))
def test_every_answer_is_that_of_one_moment_in_a_long_run(seed: int) -> None:
    assert_campaign_is_right(num_answers=1500, dim=1 + seed, seed=seed)
