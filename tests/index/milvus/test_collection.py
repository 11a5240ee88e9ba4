from functools import partial
from typing import Any

import pytest

from index.gallery.errors import GalleryError
from index.gallery.record import ModelKey
from index.milvus.collection import Collection, collection_name
from index.milvus.schema import INDEXED_COLUMNS
from tests.index.contract.galleries import assert_same, expected, some_records
from tests.index.milvus.conftest import OpenIndex
from tests.index.naive_search import EVERYTHING
from tests.index.records import DIM, MODEL, OTHER_MODELS, record, vector


def test_each_model_has_a_name_of_its_own() -> None:
    models = [MODEL, *OTHER_MODELS, ModelKey("a" * 64, "int8"), ModelKey("a" * 63, "float32")]
    names = {collection_name(prefix, model) for prefix in ("sanet", "other") for model in models}
    assert len(names) == 2 * len(models)
    assert all(len(name) < 255 and name.isidentifier() for name in names)
    assert collection_name("sanet", MODEL) == "sanet_v1_10ce8b7c11ae477967ee079c0fd04c12"


def test_processes_that_start_together_make_one_collection(
    open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one sees neither the collection nor its indexes, and then they are there."""
    first, second = open_index(), open_index()
    exists, indexed = Collection._exists, Collection._indexed
    looks: list[str] = []

    def late_exists(self: Collection) -> bool:
        looks.append("exists")
        if looks.count("exists") == 1:
            assert not exists(self)
            first.add([(1, record(1))])
            return False
        return exists(self)

    def late_indexed(self: Collection) -> set[str]:
        looks.append("indexed")
        return set() if looks.count("indexed") == 1 else indexed(self)

    monkeypatch.setattr(second.collection, "_exists", partial(late_exists, second.collection))
    monkeypatch.setattr(second.collection, "_indexed", partial(late_indexed, second.collection))
    assert (len(second), second.last_seq) == (1, 1)
    assert {"exists", "indexed"} <= set(looks)
    second.add([(2, record(2))])
    assert len(first) == 2


def test_a_collection_that_somebody_released_is_loaded_again(open_index: OpenIndex) -> None:
    index = open_index()
    index.add([(1, record(1))])
    for ask in (index.__len__, lambda: len(index.passing(EVERYTHING)), lambda: index.last_seq):
        index.collection.call("release_collection")
        assert ask() == 1


def test_what_was_dropped_is_made_again_where_it_was_dropped_and_an_error_elsewhere(open_index: OpenIndex) -> None:
    """An empty answer would look as if there were no records."""
    here, there = open_index(), open_index()
    here.add([(1, record(1))])
    assert len(there) == 1
    here.collection.drop()
    with pytest.raises(GalleryError, match="refuses"):
        len(there)
    assert (len(here), here.last_seq) == (0, 0)


def test_a_gpu_s_index_is_asked_for(open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server of the tests has no GPU, and compares as ever."""
    asked: dict[str, Any] = {}

    def noted(self: Collection, column: str, params: dict[str, Any]) -> None:
        asked[column] = params
        create(self, column, params)

    create = Collection._create_index
    monkeypatch.setattr(Collection, "_create_index", noted)
    records = some_records(50, seed=4)
    index = open_index(index_type="GPU_BRUTE_FORCE")
    index.add(list(records.items()))
    assert asked["embedding"] == {"index_type": "GPU_BRUTE_FORCE", "metric_type": "L2", "params": {}}
    assert asked.keys() == {"embedding", *INDEXED_COLUMNS}
    (found,) = index.search(vector(1)[None], 9, EVERYTHING)
    assert_same(found, expected(records, vector(1), 9, EVERYTHING))


def test_a_column_without_an_index_is_said(open_index: OpenIndex, caplog: pytest.LogCaptureFixture) -> None:
    len(open_index(DIM))
    assert [one.args[0] for one in caplog.records if isinstance(one.args, tuple)] == ["attributes", "tags"]
