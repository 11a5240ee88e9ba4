"""What every `VectorIndex` promises, against its definition in float64: rows in memory and Milvus answer alike."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from index.gallery.filters import Filter, Near
from index.gallery.record import Record
from index.gallery.vector_index import VectorIndex
from tests.index.contract.conftest import NewIndex
from tests.index.contract.galleries import (
    FILTERS,
    GROUPINGS,
    NAMES,
    assert_same,
    by_chance,
    expected,
    some_records,
    with_embeddings,
)
from tests.index.embedded.naive_neighbours import KINDS, gallery
from tests.index.naive_search import EVERYTHING
from tests.index.records import DIM, record, vector


def assert_is_exact(index: VectorIndex, records: Any, queries: Any, top_k: int, where: Filter = EVERYTHING) -> None:
    """Grouped and not."""
    for group_by in GROUPINGS:
        found = index.search(queries, top_k, where, group_by)
        for query, answer in zip(queries, found, strict=True):
            assert_same(answer, expected(records, query, top_k, where, group_by))


def test_an_empty_index_has_no_answers(new_index: NewIndex) -> None:
    index = new_index()
    assert (len(index), index.last_seq, list(index.problems)) == (0, 0, [])
    assert index.passing(EVERYTHING).tolist() == []
    assert_is_exact(index, {}, vector(1)[None], 5)
    index.update({1: by_chance(np.random.default_rng(0))})
    index.remove([1, 2])
    index.add([])
    index.update({})
    index.remove([])
    assert (len(index), index.last_seq) == (0, 0)
    assert index.search(np.empty((0, DIM), np.float32), 5, EVERYTHING) == []


def test_what_is_no_query_is_refused(new_index: NewIndex) -> None:
    index = new_index()
    index.add([(1, record(1))])
    wrong = [
        vector(1),
        vector(1)[None, :5],
        np.full((1, DIM), np.nan, np.float32),
        np.full((1, DIM), np.inf, np.float32),
    ]
    for queries in wrong:
        with pytest.raises(ValueError, match="a query is not finite, or not 16 numbers"):
            index.search(queries, 5, EVERYTHING)
    for top_k in (0, -1):
        with pytest.raises(ValueError, match="top_k must be 1 or more"):
            index.search(vector(1)[None], top_k, EVERYTHING)
    for near in (Near(91, 0, 5), Near(0, 181, 5), Near(np.nan, 0, 5), Near(0, 0, np.nan)):
        with pytest.raises(ValueError, match="a circle needs a place on Earth"):
            index.search(vector(1)[None], 5, Filter(near=near))
        with pytest.raises(ValueError, match="a circle needs a place on Earth"):
            index.passing(Filter(near=near))


@pytest.mark.parametrize("top_k", [1, 7, 1000])
def test_filters_let_pass_what_their_definition_does(new_index: NewIndex, top_k: int) -> None:
    records = some_records(120, seed=top_k)
    index = new_index()
    index.add(list(records.items()))
    ids = tuple(one.id for one in list(records.values())[::9])
    filters = {
        **FILTERS,
        "ids": Filter(ids=ids),
        "ids that are none": Filter(ids=('"', "x" * 32, "ü" * 32, ids[0][:31], ids[0] + "0", ids[0].upper())),
        "an id among others": Filter(ids=("", *ids[:1])),
        "other than": Filter(other_than=ids[0]),
        "other than what is no id": Filter(other_than='" or ""=="'),
        "other than the only one": Filter(ids=ids[:1], other_than=ids[0]),
    }
    queries = np.stack([vector(1), vector(2000)])
    num_passing = 0
    for where in filters.values():
        right = [seq for seq, one in records.items() if where.matches(one)]
        assert index.passing(where).tolist() == right
        assert_is_exact(index, records, queries, top_k, where)
        num_passing += len(right)
    assert num_passing > 500


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_is_right_to_the_last_bit_on_all_kinds_of_embeddings(new_index: NewIndex, kind: str) -> None:
    records = with_embeddings(gallery(kind, 90, DIM, seed=3), identities=13)
    index = new_index()
    index.add(list(records.items()))
    queries = np.concatenate(
        [gallery(kind, 4, DIM, seed=4), records[5].embedding[None], np.zeros((1, DIM), np.float32)]
    )
    for top_k in (1, 10):
        assert_is_exact(index, records, queries, top_k)


@pytest.mark.parametrize(
    "identities",
    [[None] * 30, ["a"] * 30, ["crowd"] * 90 + [f"v{seed}" for seed in range(6)] + [None] * 4],
    ids=["none", "one", "a crowd"],
)
def test_groups_are_found_behind_crowds(new_index: NewIndex, identities: list[str | None]) -> None:
    """The crowd is nearer than everybody else."""
    records = {
        seed + 1: record(seed, identity=identity, embedding=vector(seed) * (0.01 if identity == "crowd" else 1))
        for seed, identity in enumerate(identities)
    }
    index = new_index()
    index.add(list(records.items()))
    queries = np.stack([np.zeros(DIM, np.float32), vector(1000)])
    for top_k in (1, 3, 7, 50):
        assert_is_exact(index, records, queries, top_k)


def test_rows_come_change_and_go(new_index: NewIndex) -> None:
    rng = np.random.default_rng(17)
    index, seq = new_index(), 0
    records: dict[int, Record] = {}
    for step in range(25):
        if step % 3 == 0:
            new = {seq + number: replace(record(seq + number), fields=by_chance(rng)) for number in range(1, 12)}
            index.add(list(new.items()))
            records |= new
            seq += len(new)
        elif step % 3 == 1:
            # It may be there, have been there, or never have been.
            changes = {int(one): by_chance(rng) for one in rng.integers(1, seq + 3, 8)}
            index.update(changes)
            records |= {one: replace(records[one], fields=f) for one, f in changes.items() if one in records}
        else:
            gone = [one for one in records if rng.random() < 0.3]
            index.remove([*gone, seq + 1000])
            records = {one: kept for one, kept in records.items() if one not in gone}
        assert (len(index), index.last_seq) == (len(records), seq)
        for where in (EVERYTHING, Filter(cameras=("a",)), Filter(tags=("day",)), Filter(identity=NAMES[2])):
            assert index.passing(where).tolist() == [one for one, kept in records.items() if where.matches(kept)]
            assert_is_exact(index, records, vector(step)[None], 6, where)
    index.remove(list(records))
    assert (len(index), index.last_seq) == (0, seq)
    index.add([(seq + 5, record(seq))])
    assert (len(index), index.last_seq) == (1, seq + 5)


def test_of_rows_at_the_same_distance_the_id_decides(new_index: NewIndex) -> None:
    records = with_embeddings(np.repeat(np.stack([vector(1), -vector(1)]), 40, axis=0), identities=5)
    index = new_index()
    index.add(list(records.items()))
    for top_k in (1, 3, 39, 41, 80, 200):
        assert_is_exact(index, records, np.stack([vector(1), np.zeros(DIM, np.float32)]), top_k)


def test_many_queries_are_answered_as_each_alone(new_index: NewIndex) -> None:
    records = some_records(60, seed=2)
    index = new_index()
    index.add(list(records.items()))
    assert_is_exact(index, records, np.stack([vector(seed) for seed in range(70)]), 4, Filter(cameras=("a", "b")))


def test_embeddings_as_long_as_those_of_the_network(new_index: NewIndex) -> None:
    records = with_embeddings(gallery("clusters", 60, 2560, seed=8), identities=9)
    index = new_index(dim=2560)
    index.add(list(records.items()))
    assert_is_exact(index, records, gallery("clusters", 3, 2560, seed=9), 10)
