from dataclasses import replace

import numpy as np
import pytest

from index.gallery.catching_up import catch_up
from index.gallery.fields import Fields
from index.milvus import reconciling
from index.milvus.milvus_index import MilvusIndex
from index.milvus.reconciling import Reconciled, reconcile
from tests.index.contract.galleries import assert_same, by_chance, expected
from tests.index.gallery.memory_backend import DictStore
from tests.index.milvus.conftest import OpenIndex
from tests.index.naive_search import EVERYTHING
from tests.index.records import MODEL, OTHER_MODELS, record, vector


def store_of(num: int) -> DictStore:
    rng = np.random.default_rng(num)
    store = DictStore()
    with store.transaction() as writer:
        for seed in range(num):
            model = OTHER_MODELS[0] if seed % 10 == 5 else MODEL
            writer.insert(replace(record(seed, model=model), fields=by_chance(rng)))
    return store


def assert_in_line(index: MilvusIndex, store: DictStore) -> None:
    records = dict(store.records_after(0, MODEL))
    assert (len(index), index.last_seq) == (len(records), store.last_seq)
    (found,) = index.search(vector(3)[None], 1000, EVERYTHING)
    assert_same(found, expected(records, vector(3), 1000, EVERYTHING))
    for where_seq in list(records)[::7]:
        identity = records[where_seq].fields.identity
        where = replace(EVERYTHING, identity=identity)
        assert index.passing(where).tolist() == [seq for seq, one in records.items() if where.matches(one)]


@pytest.mark.parametrize("chunk", [3, 4096])
def test_rows_are_their_records_again(open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(reconciling, "_CHUNK", chunk)
    index, store = open_index(), store_of(60)
    assert reconcile(index, store, MODEL) == Reconciled(0, 54, 0)
    assert reconcile(index, store, MODEL) == Reconciled(0, 0, 0)
    assert_in_line(index, store)
    index.remove([1, 2, 3, 50])
    index.update({seq: Fields(identity="wrong", tags=("wrong",)) for seq in (10, 11, 20)})
    index.add([(70, record(70)), (80, record(80))])
    with store.transaction() as writer:
        writer.delete([30, 31])
    store.broken.add(40)
    assert reconcile(index, store, MODEL) == Reconciled(4, 4, 3)
    with store.transaction() as writer:
        writer.insert(record(100))
    catch_up(index, store, MODEL)
    assert index.passing(EVERYTHING).tolist()[-1] == 61


def test_an_older_database_has_given_its_seqs_to_other_records(open_index: OpenIndex) -> None:
    index, store, older = open_index(), store_of(40), store_of(20)
    catch_up(index, store, MODEL)
    with older.transaction() as writer:
        for seed in range(200, 210):
            writer.insert(record(seed))
    reconcile(index, older, MODEL)
    assert_in_line(index, older)
