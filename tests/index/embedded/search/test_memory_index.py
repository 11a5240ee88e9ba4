import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pytest

from index.embedded.index_sizes import IndexSizes
from index.embedded.opening import open_gallery
from index.embedded.search import certified_search, memory_index, row_blocks
from index.embedded.search.memory_index import MemoryIndex
from index.embedded.search.record_columns import RecordColumns
from index.embedded.search.row_block import RowBlock
from index.embedded.search.row_blocks import RowBlocks
from index.gallery.fields import Fields
from index.gallery.filters import Filter, Near
from index.gallery.record import Record
from index.gallery.vector_index import Neighbours
from tests.index.naive_search import EVERYTHING, ids, naive_groups
from tests.index.records import DIM, MODEL, OTHER_MODELS, enrolment, in_one_frame, record, tamper, vector

Vectors = np.ndarray[Any, np.dtype[np.float32]]

OPENED: Final[list[MemoryIndex]] = []
SMALL: Final = IndexSizes(block_rows=9, first_folding=12, folding_growth=2)


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def index_of(records: dict[int, Record], sizes: IndexSizes = IndexSizes()) -> MemoryIndex:  # noqa: B008 (frozen)
    """An index of records by seq."""
    index = MemoryIndex(RowBlocks(DIM, 2, sizes))
    OPENED.append(index)
    index.add(list(records.items()))
    return index


def naive_seqs(
    records: dict[int, Record], query: Vectors, top_k: int, where: Filter, group_by: str | None
) -> list[int]:
    def rank(seq: int) -> tuple[float, str]:
        return float(np.linalg.norm(records[seq].embedding.astype(np.float64) - query)), records[seq].id

    seqs: list[int] = []
    seen: set[str] = set()
    for seq in sorted((seq for seq, one in records.items() if where.matches(one)), key=rank):
        identity = records[seq].fields.identity
        if group_by is None or identity is None or identity not in seen:
            seqs.append(seq)
        if identity is not None:
            seen.add(identity)
    return seqs[:top_k]


def records_of(identities: list[str | None]) -> dict[int, Record]:
    """Records with seqs that have gaps, every second of them by camera `a`."""
    return {
        3 * seed + 1: record(seed, frame=0, box=in_one_frame(seed).record.box, identity=identity, camera="ab"[seed % 2])
        for seed, identity in enumerate(identities)
    }


IDENTITIES = {
    "none": [None] * 40,
    "one": ["a"] * 40,
    "each its own": [f"v{seed}" for seed in range(40)],
    "few and none": [None if seed % 10 == 0 else f"v{seed % 4}" for seed in range(200)],
    "a crowd": ["crowd"] * 150 + [f"v{seed}" for seed in range(6)],
    "empty": [],
}


@pytest.mark.parametrize("group_by", [None, "identity"])
@pytest.mark.parametrize("where", [EVERYTHING, Filter(cameras=("a",)), Filter(cameras=("nowhere",))])
@pytest.mark.parametrize("identities", IDENTITIES.values(), ids=IDENTITIES)
def test_a_search_is_a_sorted_list(identities: list[str | None], where: Filter, group_by: Any) -> None:
    records = records_of(identities)
    index = index_of(records)
    queries = np.stack([vector(1000), vector(1)])
    for top_k in (1, 5, 7, 1000):
        found = index.search(queries, top_k, where, group_by)
        expected = [naive_seqs(records, query, top_k, where, group_by) for query in queries]
        assert [one.seq.tolist() for one in found] == expected
        assert {one.searched for one in found} == {sum(map(where.matches, records.values()))}
        for query, one in zip(queries, found, strict=True):
            distances = [np.linalg.norm(records[seq].embedding.astype(np.float64) - query) for seq in one.seq.tolist()]
            np.testing.assert_allclose(one.distance, distances, rtol=1e-12)


def test_no_queries_have_no_answers() -> None:
    assert index_of(records_of(["a"])).search(np.empty((0, DIM), np.float32), 5, EVERYTHING) == []


def test_rows_that_change_and_go_change_their_groups() -> None:
    records = records_of([f"v{seed % 6}" for seed in range(60)])
    index = index_of(records)
    rng = np.random.default_rng(3)
    for step in range(40):
        seq = int(rng.choice(list(records)))
        if step % 4 == 3:
            del records[seq]
            index.remove([seq, 10_000])
        else:
            identity = [None, "v0", "new", f"v{step}"][step % 4]
            records[seq] = record(seq // 3, frame=0, box=records[seq].box, identity=identity, camera="a")
            index.update({seq: records[seq].fields})
        (found,) = index.search(vector(step)[None], 8, EVERYTHING, "identity")
        assert found.seq.tolist() == naive_seqs(records, vector(step), 8, EVERYTHING, "identity")
    assert len(index) == len(records) == 50


def test_rows_of_several_blocks_are_changed_together() -> None:
    records = records_of([f"v{seed % 6}" for seed in range(60)])
    index = index_of(records, SMALL)
    changed = list(records)[3:50:3]
    for seq in changed:
        records[seq] = replace(records[seq], fields=Fields(identity="new", tags=("t",)))
    index.remove(list(records)[:30])  # blocks are compacted meanwhile
    index.update({seq: records[seq].fields for seq in [*changed[::-1]]} | {10_000: Fields(identity="new")})
    left = {seq: records[seq] for seq in list(records)[30:]}
    for where in (Filter(identity="new"), Filter(tags=("t",)), Filter(identity="v1"), EVERYTHING):
        (found,) = index.search(vector(3)[None], 99, where)
        assert found.seq.tolist() == naive_seqs(left, vector(3), 99, where, None)


def test_ids_are_a_condition_and_longer_ones_are_no_row_s() -> None:
    records = records_of([f"v{seed % 6}" for seed in range(60)])
    index = index_of(records, SMALL)
    some = [records[seq].id for seq in list(records)[5:50:7]]
    assert len({id_[:16] for id_ in some}) == len(some)
    filters = [
        Filter(ids=tuple(some)), Filter(ids=(some[0] + "0", "ü" * 32, "", some[1][:31])),
        Filter(ids=(*some, some[0] + "0"), other_than=some[2]), Filter(other_than=some[0]),
        Filter(ids=(some[1],), other_than=some[1]),
    ]  # fmt: skip
    for where in filters:
        assert index.passing(where).tolist() == [seq for seq, one in records.items() if where.matches(one)]


def test_a_row_that_is_not_there_is_not_changed() -> None:
    index = index_of(records_of(["a", "b"]))
    index.update({2: Fields(identity="b")})
    index.remove([2, 3])
    assert index.search(vector(0)[None], 9, EVERYTHING, "identity")[0].seq.tolist() == [1, 4]


def test_rows_that_cannot_be_added_leave_it_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    records = records_of(["a", "b", None])
    index = index_of(records)
    with monkeypatch.context() as patch:
        patch.setattr(RowBlock, "put", lambda *_: [][0])
        with pytest.raises(IndexError):
            index.add([(50, record(50, identity="c"))])
    assert (len(index), index.last_seq) == (3, 7)
    assert index.search(vector(0)[None], 9, EVERYTHING, "identity")[0].seq.tolist() == naive_seqs(
        records, vector(0), 9, EVERYTHING, "identity"
    )
    index.add([(50, record(50, identity="c"))])
    assert (len(index), index.last_seq) == (4, 50)


def test_grouping_asks_for_no_more_rows_than_hide_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """One group is 100 rows nearer than the next; then all four that there are have been seen."""
    identities: list[str | None] = [f"v{seed % 3}" for seed in range(2000)]
    records = records_of(identities)
    near = {
        10_000 + seed: record(seed, box=in_one_frame(seed).record.box, identity="near", embedding=vector(seed) * 0)
        for seed in range(100)
    }
    index = index_of({**records, **near})
    search, asked = RowBlocks.search, []

    def watched(self: RowBlocks, queries: Any, top_k: int, passing: Any = None) -> list[Neighbours]:
        asked.append(top_k)
        return search(self, queries, top_k, passing)

    monkeypatch.setattr(RowBlocks, "search", watched)
    (found,) = index.search(np.zeros((1, DIM), np.float32), 10, EVERYTHING, "identity")
    assert len(found.seq) == 4
    assert asked == [10, 40, 160]


@pytest.mark.parametrize("most_found", [1, 25, 1_000_000])
def test_queries_are_grouped_together_and_only_those_again_that_found_too_few(
    monkeypatch: pytest.MonkeyPatch, most_found: int
) -> None:
    records = records_of([f"v{seed}" for seed in range(300)])
    crowd = {
        10_000 + seed: record(seed, box=in_one_frame(seed).record.box, identity="crowd", embedding=vector(seed) * 0)
        for seed in range(100)
    }
    records |= crowd
    index = index_of(records)
    queries = np.stack([vector(3) * 5, vector(0) * 0, vector(4) * 5, vector(5) * 0, vector(6) * 5])
    expected = [naive_seqs(records, query, 10, EVERYTHING, "identity") for query in queries]
    search, asked = RowBlocks.search, []

    def watched(self: RowBlocks, queries: Any, top_k: int, passing: Any = None) -> list[Neighbours]:
        asked.append((len(queries), top_k))
        return search(self, queries, top_k, passing)

    monkeypatch.setattr(RowBlocks, "search", watched)
    monkeypatch.setattr(memory_index, "_MOST_FOUND", most_found)
    assert [one.seq.tolist() for one in index.search(queries, 10, EVERYTHING, "identity")] == expected
    assert all(num == 1 or num * top_k <= most_found for num, top_k in asked)
    first_round = [num for num, top_k in asked if top_k == 10]
    assert first_round == {1: [1] * 5, 25: [2, 2, 1], 1_000_000: [5]}[most_found]
    assert sum(num for num, top_k in asked if top_k == 160) == 2  # those in the crowd


NOON: Final = datetime(2026, 5, 1, 12, tzinfo=UTC)
FILTERS: Final = [
    EVERYTHING, Filter(cameras=("a",)), Filter(cameras=("a", "b"), tags=("day",)), Filter(identity="v1"),
    Filter(tags=("day", "rain")), Filter(captured_after=NOON + timedelta(minutes=20)),
    Filter(captured_before=NOON + timedelta(minutes=20), source="1.jpg"), Filter(near=Near(48.0, 11.0, 20_000)),
    Filter(attributes=(("colour", "red"),)), Filter(attributes=(("colour", "blue"),), near=Near(48.1, 11.0, 5000)),
]  # fmt: skip


def fields_by_chance(rng: np.random.Generator) -> Fields:
    def one_of(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    return Fields(
        identity=one_of(None, "v0", "v1", "v2", "v3"),
        camera=one_of(None, "a", "b", "c"),
        captured_at=one_of(None, NOON + timedelta(minutes=int(rng.integers(60)))),
        latitude=48 + float(rng.random()),
        longitude=11.0,
        tags=one_of((), ("day",), ("day", "rain"), ("night",)),
        source=one_of(None, "1.jpg", "2.jpg"),
        attributes=one_of({}, {"colour": "red"}, {"colour": "blue", "make": "vw"}),
    )


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few rows go all ways that many go, in an index of `SMALL` sizes."""
    monkeypatch.setattr(row_blocks, "_STRETCH_ROWS", 5)
    for name, value in {"_MARGIN": 1, "_GROUPS": 2, "_FIRST_ROWS": 2, "_FEW_PAIRS": 1}.items():
        monkeypatch.setattr(certified_search, name, value)


def assert_is_naive(index: MemoryIndex, records: dict[int, Record], query: Vectors, top_k: int) -> int:
    """All filters, grouped and not; says how many rows were found."""
    num_found = 0
    grouping: tuple[Literal["identity"] | None, ...] = (None, "identity")
    for where in FILTERS:
        assert index.passing(where).tolist() == sorted(seq for seq, one in records.items() if where.matches(one))
        for group_by in grouping:
            (found,) = index.search(query[None], top_k, where, group_by)
            assert found.seq.tolist() == naive_seqs(records, query, top_k, where, group_by)
            assert found.searched == sum(map(where.matches, records.values()))
            num_found += len(found.seq)
    return num_found


@pytest.mark.usefixtures("small_steps")
def test_filters_hold_through_growth_change_deletion_and_compaction() -> None:
    rng = np.random.default_rng(17)
    records: dict[int, Record] = {}
    index, seq, num_found = index_of(records, SMALL), 0, 0
    for step in range(120):
        choice = rng.random()
        if choice < 0.35:
            # Up to three blocks at once, over any boundary.
            seqs = range(seq + 1, seq + 1 + int(rng.integers(28)))
            new = {one: replace(record(one), fields=fields_by_chance(rng)) for one in seqs}
            index.add(list(new.items()))
            records |= new
            seq += len(new)
        elif choice < 0.75 and seq:
            # It may be there, have been there, or never have been.
            for changed in rng.integers(1, seq + 3, 8).tolist():
                fields = fields_by_chance(rng)
                index.update({changed: fields})
                if changed in records:
                    records[changed] = replace(records[changed], fields=fields)
        else:
            gone = [one for one in records if rng.random() < rng.choice([0.1, 0.6])]
            index.remove(gone)
            records = {one: kept for one, kept in records.items() if one not in gone}
        if rng.random() < 0.3:
            index._rows.compact()
        num_found += assert_is_naive(index, records, vector(step), int(rng.integers(1, 30)))
    assert seq > 300
    assert num_found > 2000


def change_while_columns_are_copied(
    monkeypatch: pytest.MonkeyPatch, index: MemoryIndex, records: dict[int, Record], seqs: list[int]
) -> None:
    """Before and after a block's columns are copied; a record may change twice."""
    rng = np.random.default_rng(5)
    put_rows_of = RecordColumns.put_rows_of

    def change(num: int) -> None:
        for seq in (seqs.pop() for _ in range(min(num, len(seqs)))):
            fields = fields_by_chance(rng)
            index.update({seq: fields})
            if seq in records:
                records[seq] = replace(records[seq], fields=fields)

    def put_while_fields_change(self: RecordColumns, *args: Any) -> None:
        change(3)
        put_rows_of(self, *args)
        change(5)

    monkeypatch.setattr(RecordColumns, "put_rows_of", put_while_fields_change)


@pytest.mark.usefixtures("small_steps")
def test_fields_that_change_while_their_block_is_compacted_stay_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    records = {seq: replace(record(seq), fields=fields_by_chance(rng)) for seq in range(1, 60)}
    index = index_of(records, SMALL)
    index._rows.settle()
    seqs = [*range(1, 60), 500, *rng.integers(1, 60, 30).tolist()]
    change_while_columns_are_copied(monkeypatch, index, records, seqs)
    while seqs:
        # A block loses four of nine rows at a time, which is enough for it to be rewritten.
        gone = list(records)[1:5]
        index.remove(gone)
        for seq in gone:
            records.pop(seq)
        index._rows.compact()
        assert_is_naive(index, records, vector(1), 20)


@pytest.mark.usefixtures("small_steps")
def test_compaction_that_fails_keeps_every_change(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(6)
    records = {seq: replace(record(seq), fields=fields_by_chance(rng)) for seq in range(1, 60)}
    index = index_of(records, SMALL)

    def full(self: RecordColumns, *_: Any) -> None:
        fields = fields_by_chance(rng)
        index.update({12: fields})
        records[12] = replace(records[12], fields=fields)
        raise MemoryError("no room for a block")

    with monkeypatch.context() as patched:
        patched.setattr(RecordColumns, "put_rows_of", full)
        index.remove(list(range(1, 9)))
        index._rows.settle()
    assert "no room for a block" in caplog.text
    assert index._rows._updated is None  # or it would grow with every change from now on
    records = {seq: kept for seq, kept in records.items() if seq > 8}
    assert_is_naive(index, records, vector(1), 20)
    index.update({12: Fields(camera="a")})
    records[12] = replace(records[12], fields=Fields(camera="a"))
    index._rows.compact()
    assert_is_naive(index, records, vector(1), 20)


@pytest.mark.usefixtures("small_steps")
def test_a_search_beside_additions_changes_deletions_and_compaction_finds_what_always_passes() -> None:
    """Every third record stays, and passes with the fields that it has in turns; what comes and goes does not pass."""
    turns = [
        Fields(identity="v0", camera="a", tags=("day",), latitude=48.0, longitude=11.0, captured_at=NOON),
        Fields(identity="v1", camera="b", tags=("day", "rain"), latitude=48.1, longitude=11.1),
    ]
    where = Filter(cameras=("a", "b"), tags=("day",), near=Near(48.05, 11.05, 7000))
    lasting = {seq: replace(record(seq), fields=turns[0]) for seq in range(3, 150, 3)}
    assert all(where.matches(replace(record(1), fields=fields)) for fields in turns)
    index = index_of({seq: lasting.get(seq, record(seq)) for seq in range(1, 150)}, SMALL)
    done = threading.Event()

    def change() -> None:
        rng = np.random.default_rng(9)
        passing = [seq for seq in range(1, 150) if seq not in lasting]
        try:
            for start in range(200, 3000, 12):
                new = range(start, start + 12)
                index.add([(seq, record(seq, camera="a", tags=("night",))) for seq in new])
                for seq in rng.choice(list(lasting), 5).tolist():
                    index.update({seq: turns[start // 12 % 2]})
                index.remove([*new, *passing[:1]])
                del passing[:1]
        finally:
            done.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    writer = threading.Thread(target=change)
    writer.start()
    try:
        num_answers = 0
        while not done.is_set():
            query = vector(num_answers)
            (found,) = index.search(query[None], 10, where)
            assert found.seq.tolist() == naive_seqs(lasting, query, 10, EVERYTHING, None)
            assert found.searched == len(lasting)
            (of_groups,) = index.search(query[None], 10, where, "identity")
            assert of_groups.searched == len(lasting)
            assert 1 <= len(of_groups.seq) <= 2
            num_answers += 1
    finally:
        writer.join()
        sys.setswitchinterval(interval)
    assert num_answers > 10


def damage(folder: Path) -> None:
    tamper(folder / "gallery.sqlite", "UPDATE record SET media_type = 'x' WHERE seq = 601")


@pytest.mark.parametrize("hidden", ["stale", "damaged", "damaged while open", "stale and filtered"])
def test_a_record_that_is_not_searched_does_not_make_grouping_read_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    with closing(open_gallery(tmp_path, OTHER_MODELS[0], DIM)) as gallery:
        if hidden.startswith("stale"):
            gallery.enrol([enrolment(9_999, model=OTHER_MODELS[0], identity="old", camera="a")])
    batch = [in_one_frame(seed, identity=f"v{seed % 8}", camera="a") for seed in range(600)]
    with closing(open_gallery(tmp_path, MODEL, DIM)) as gallery:
        gallery.enrol([*batch, enrolment(700, identity="damaged", camera="a")])
        if hidden.startswith("stale"):
            gallery.delete(record(700).id)
        if hidden == "damaged while open":
            damage(tmp_path)
            gallery.search(vector(700), 1, EVERYTHING)
    if hidden == "damaged":
        damage(tmp_path)
    with closing(open_gallery(tmp_path, MODEL, DIM)) as gallery:
        search, asked = RowBlocks.search, []

        def watched(self: RowBlocks, queries: Any, top_k: int, passing: Any = None) -> list[Neighbours]:
            asked.append(top_k)
            return search(self, queries, top_k, passing)

        monkeypatch.setattr(RowBlocks, "search", watched)
        where = Filter(cameras=("a",)) if hidden.endswith("filtered") else EVERYTHING
        found = gallery.search(vector(1), 10, where, "identity")
        assert ids(found) == naive_groups(batch, vector(1), 10)
        assert max(asked) <= 160
