from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index.embedded.exact_search import ExactSearch
from index.embedded.memory_index import MemoryIndex
from index.embedded.opening import open_gallery
from index.gallery.fields import Fields
from index.gallery.filters import Filter
from index.gallery.record import Record
from index.gallery.vector_index import Neighbours
from tests.index.naive_search import EVERYTHING, ids, naive_groups
from tests.index.records import DIM, MODEL, OTHER_MODELS, enrolment, in_one_frame, record, tamper, vector

Vectors = np.ndarray[Any, np.dtype[np.float32]]


def index_of(records: dict[int, Record]) -> MemoryIndex:
    """An index of records by seq; what passes a filter is asked of the records as they are in the dictionary then."""

    def seqs_passing(where: Filter) -> np.ndarray[Any, np.dtype[np.int64]]:
        return np.array([seq for seq, one in records.items() if where.matches(one)], np.int64)

    index = MemoryIndex(DIM, seqs_passing)
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
            index.update(seq, records[seq].fields)
        (found,) = index.search(vector(step)[None], 8, EVERYTHING, "identity")
        assert found.seq.tolist() == naive_seqs(records, vector(step), 8, EVERYTHING, "identity")
    assert len(index) == len(records) == 50


def test_a_row_that_is_not_there_is_not_changed() -> None:
    index = index_of(records_of(["a", "b"]))
    index.update(2, Fields(identity="b"))
    index.remove([2, 3])
    assert index.search(vector(0)[None], 9, EVERYTHING, "identity")[0].seq.tolist() == [1, 4]


def test_rows_that_cannot_be_added_leave_it_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    records = records_of(["a", "b", None])
    index = index_of(records)
    with monkeypatch.context() as patch:
        patch.setattr(ExactSearch, "add", lambda *_: [][0])
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
    search, asked = ExactSearch.search, []

    def watched(self: ExactSearch, query: Any, top_k: int, seqs: Any = None) -> Neighbours:
        asked.append(top_k)
        return search(self, query, top_k, seqs)

    monkeypatch.setattr(ExactSearch, "search", watched)
    (found,) = index.search(np.zeros((1, DIM), np.float32), 10, EVERYTHING, "identity")
    assert len(found.seq) == 4
    assert asked == [10, 40, 160]


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
        search, asked = ExactSearch.search, []

        def watched(self: ExactSearch, query: Any, top_k: int, seqs: Any = None) -> Any:
            asked.append(top_k)
            return search(self, query, top_k, seqs)

        monkeypatch.setattr(ExactSearch, "search", watched)
        where = Filter(cameras=("a",)) if hidden.endswith("filtered") else EVERYTHING
        found = gallery.search(vector(1), 10, where, "identity")
        assert ids(found) == naive_groups(batch, vector(1), 10)
        assert max(asked) <= 160
