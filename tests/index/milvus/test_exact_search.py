from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from index.gallery.filters import Filter
from index.milvus.connection import Connection
from tests.index.contract.galleries import GROUPINGS, assert_same, expected, some_records, with_embeddings
from tests.index.embedded.naive_neighbours import gallery
from tests.index.milvus.conftest import OpenIndex
from tests.index.naive_search import EVERYTHING
from tests.index.records import DIM, vector


def watched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The calls from now on."""
    calls: list[tuple[str, dict[str, Any]]] = []
    call = Connection.call

    def noted(self: Connection, method: str, **arguments: Any) -> Any:
        calls.append((method, arguments))
        return call(self, method, **arguments)

    monkeypatch.setattr(Connection, "call", noted)
    return calls


@pytest.mark.parametrize("request_bytes", [1, 700, 4000])
def test_messages_have_a_size_and_answers_are_the_same(
    open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch, request_bytes: int
) -> None:
    records = some_records(60, seed=4)
    index = open_index(request_bytes=request_bytes)
    calls = watched(monkeypatch)
    index.add(list(records.items()))
    index.update({seq: replace(one.fields, source="changed") for seq, one in records.items()})
    batches = [arguments["data"] for method, arguments in calls if method == "upsert"]
    assert sum(map(len, batches)) >= 2 * len(records)
    for batch in batches:
        assert len(batch) == 1 or sum(one.get("embedding", np.empty(0)).nbytes for one in batch) <= request_bytes
    records = {seq: replace(one, fields=replace(one.fields, source="changed")) for seq, one in records.items()}
    queries = np.stack([vector(seed) for seed in range(5)])
    for group_by in GROUPINGS:
        found = index.search(queries, 9, EVERYTHING, group_by)
        for query, answer in zip(queries, found, strict=True):
            assert_same(answer, expected(records, query, 9, EVERYTHING, group_by))
    searches = [arguments for method, arguments in calls if method == "search"]
    assert all(len(one["data"]) * one["limit"] * 4 * DIM <= request_bytes for one in searches)


def test_a_shortlist_grows_until_it_is_certain(open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 rows are so near each other that float32 may order them in any way."""
    rng = np.random.default_rng(6)
    vectors = np.concatenate([vector(1) + rng.normal(size=(200, DIM)) * 1e-7, rng.normal(size=(500, DIM)) * 9])
    records = with_embeddings(vectors.astype(np.float32))
    index = open_index()
    index.add(list(records.items()))
    calls = watched(monkeypatch)
    (found,) = index.search(vector(2)[None], 10, EVERYTHING)
    assert_same(found, expected(records, vector(2), 10, EVERYTHING))
    assert [arguments["limit"] for method, arguments in calls if method == "search"] == [26, 104, 416]


def test_where_float32_tells_nothing_apart_all_rows_are_read(
    open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = with_embeddings(gallery("very_far", 300, DIM, seed=1))
    index = open_index(request_bytes=100 * (4 * DIM + 128))
    index.add(list(records.items()))
    calls = watched(monkeypatch)
    query = gallery("very_far", 1, DIM, seed=2)
    (found,) = index.search(query, 10, EVERYTHING)
    assert_same(found, expected(records, query[0], 10, EVERYTHING))
    assert [arguments["limit"] for method, arguments in calls if method == "search"] == [26, 100]


@pytest.mark.parametrize("index_type", ["IVF_FLAT", "HNSW"])
def test_what_an_index_that_may_miss_rows_finds_is_in_the_right_order(open_index: OpenIndex, index_type: str) -> None:
    params = {"IVF_FLAT": {"nlist": 4}, "HNSW": {"M": 8, "efConstruction": 64}}[index_type]
    index = open_index(index_type=index_type, build_params=params, search_params={"nprobe": 4, "ef": 256})
    records = some_records(200, seed=5)
    index.add(list(records.items()))
    for where in (EVERYTHING, Filter(cameras=("a",))):
        for group_by in GROUPINGS:
            (found,) = index.search(vector(9)[None], 10, where, group_by)
            everything = expected(records, vector(9), 1000, where)
            distances = dict(zip(everything.seq.tolist(), everything.distance.tolist(), strict=True))
            assert found.searched == everything.searched
            assert found.distance.tolist() == [distances[seq] for seq in found.seq.tolist()]
            assert found.distance.tolist() == sorted(found.distance)
            assert len(found.seq) == 10


def test_an_engine_that_returns_fewer_rows_than_pass_is_not_believed(
    open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = open_index(index_type="HNSW", build_params={"M": 8, "efConstruction": 64})
    records = some_records(60, seed=11)
    index.add(list(records.items()))
    call = Connection.call

    def forgetful(self: Connection, method: str, **arguments: Any) -> Any:
        answer = call(self, method, **arguments)
        return [hits[::2] for hits in answer] if method == "search" else answer

    monkeypatch.setattr(Connection, "call", forgetful)
    for top_k in (50, 100):
        (found,) = index.search(vector(1)[None], top_k, EVERYTHING)
        assert_same(found, expected(records, vector(1), top_k, EVERYTHING))
