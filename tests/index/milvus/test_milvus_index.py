import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any, Final

import pytest

from index.gallery.errors import GalleryError, GalleryUnavailableError
from index.gallery.fields import Fields
from index.gallery.filters import Filter
from index.milvus import milvus_index
from index.milvus.connection import Connection
from index.milvus.exact_search import ExactSearch
from index.milvus.milvus_index import MilvusIndex
from index.milvus.options import MilvusOptions
from tests.index.contract.galleries import FILTERS, assert_same, expected, some_records
from tests.index.milvus.conftest import OpenIndex
from tests.index.milvus.server import MilvusServer
from tests.index.naive_search import EVERYTHING
from tests.index.records import DIM, MODEL, OTHER_MODELS, record, vector


def test_what_one_process_writes_another_finds_at_once(open_index: OpenIndex) -> None:
    here, there = open_index(), open_index()
    records = some_records(40, seed=1)
    for step, (seq, one) in enumerate(records.items()):
        writer, reader = (here, there) if step % 2 else (there, here)
        writer.add([(seq, one)])
        assert (len(reader), reader.last_seq) == (step + 1, seq)
        (found,) = reader.search(one.embedding[None], 1, EVERYTHING)
        assert (found.seq.tolist(), found.distance.tolist(), found.searched) == ([seq], [0.0], step + 1)
        writer.update({seq: Fields(identity="new")})
        assert reader.passing(Filter(identity="new")).tolist() == [seq]
        writer.update({seq: one.fields})
    here.remove(list(records)[5:])
    assert there.passing(EVERYTHING).tolist() == list(records)[:5]
    assert (len(there), there.last_seq) == (5, max(records))


def test_models_share_a_server_and_no_row(open_index: OpenIndex, milvus: MilvusServer, prefix: str) -> None:
    index = open_index()
    others = [MilvusIndex(MilvusOptions(milvus.uri, prefix=prefix), model, DIM) for model in OTHER_MODELS]
    index.add([(1, record(1))])
    for other in others:
        assert (len(other), other.last_seq) == (0, 0)
        other.collection.drop()
        other.close()
    assert len(index) == 1


def test_rows_are_written_again_without_harm(open_index: OpenIndex) -> None:
    index = open_index()
    records = some_records(20, seed=2)
    for _ in range(2):
        index.add(list(records.items()))
    assert len(index) == 20
    changed = {seq: replace(one, fields=Fields(identity="new")) for seq, one in records.items()}
    index.add(list(changed.items()))
    assert index.passing(Filter(identity="new")).tolist() == list(records)


def test_what_is_cut_off_is_caught_up(open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third message is lost: what came before is there, and catching up begins behind it."""
    index = open_index(request_bytes=1000)
    records = list(some_records(40, seed=3).items())
    call, num_upserts = Connection.call, 0

    def lossy(self: Connection, method: str, **arguments: Any) -> Any:
        nonlocal num_upserts
        num_upserts += method == "upsert"
        if num_upserts == 6:
            raise GalleryUnavailableError("Milvus", "UNAVAILABLE")
        return call(self, method, **arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Connection, "call", lossy)
        with pytest.raises(GalleryUnavailableError):
            index.add(records)
    last = index.last_seq
    assert 0 < last < records[-1][0]
    # The rows were written, that they are there was not: they are not counted, but searched.
    assert len(index) > sum(seq <= last for seq, _ in records)
    index.add([(seq, one) for seq, one in records if seq > last])
    assert (len(index), index.last_seq) == (40, records[-1][0])
    (found,) = index.search(vector(7)[None], 40, EVERYTHING)
    assert_same(found, expected(dict(records), vector(7), 40, EVERYTHING))


def test_more_rows_than_a_page_has(open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus_index, "MAX_ROWS", 10)
    index = open_index()
    records = some_records(95, seed=7)
    index.add(list(records.items()))
    for where in (EVERYTHING, Filter(cameras=("a",)), FILTERS["half the world"]):
        assert index.passing(where).tolist() == [seq for seq, one in records.items() if where.matches(one)]
    index.remove(list(records)[30:])  # as many as fill the pages
    assert index.passing(EVERYTHING).tolist() == list(records)[:30]


def test_cameras_have_partitions(open_index: OpenIndex) -> None:
    index = open_index(num_partitions=4)
    records = some_records(60, seed=6)
    index.add(list(records.items()))
    cameras = [f"camera {number}" for number in range(10)]
    for number, seq in enumerate(records):
        # From one partition to another, and nothing stays behind.
        records[seq] = replace(records[seq], fields=replace(records[seq].fields, camera=cameras[number % 10]))
    index.update({seq: one.fields for seq, one in records.items()})
    for where in (EVERYTHING, Filter(cameras=tuple(cameras[:2]))):
        (found,) = index.search(vector(3)[None], 12, where)
        assert_same(found, expected(records, vector(3), 12, where))
    index.remove(list(records)[:30])
    assert index.passing(EVERYTHING).tolist() == list(records)[30:]


def test_more_tags_than_milvus_keeps_are_refused(open_index: OpenIndex) -> None:
    index = open_index()
    with pytest.raises(GalleryError, match="Milvus keeps at most 4096 tags"):
        index.add([(1, record(1, tags=tuple(map(str, range(4097)))))])
    most = tuple(map(str, range(4096)))
    index.add([(1, record(1, tags=most))])
    assert index.passing(Filter(tags=most[-3:])).tolist() == [1]


def test_rows_that_go_while_they_are_searched_are_not_missed_by_others(
    open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the count and the search."""
    index = open_index()
    records = some_records(30, seed=8)
    index.add(list(records.items()))
    nearest = ExactSearch.nearest
    gone = list(records)[::2]

    def later(self: ExactSearch, *arguments: Any) -> Any:
        index.remove(gone)
        return nearest(self, *arguments)

    monkeypatch.setattr(ExactSearch, "nearest", later)
    (found,) = index.search(vector(1)[None], 20, EVERYTHING)
    left = {seq: one for seq, one in records.items() if seq not in gone}
    assert found.seq.tolist() == expected(left, vector(1), 20, EVERYTHING).seq.tolist()


def test_threads_share_an_index_from_its_first_call_on(open_index: OpenIndex) -> None:
    """Reads alone: the server of the tests has one writer at a time."""
    records = some_records(90, seed=12)
    open_index().add(list(records.items()))
    index, where = open_index(), Filter(cameras=("a", "b"))

    def search(seed: int) -> None:
        (found,) = index.search(vector(seed)[None], 10, where)
        assert_same(found, expected(records, vector(seed), 10, where))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(search, range(40)))


@pytest.fixture
def own_milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    """A server that the test may kill."""
    with closing(MilvusServer(tmp_path_factory.mktemp("own-milvus"))) as server:
        yield server


def test_an_index_goes_on_when_its_server_is_back(own_milvus: MilvusServer) -> None:
    """The same object, without anything being opened anew."""
    records = some_records(30, seed=9)
    with ExitStack() as stack:
        patient, hasty, never_connected = (
            stack.enter_context(closing(MilvusIndex(options, MODEL, DIM)))
            for options in (
                MilvusOptions(own_milvus.uri, token="root:secret", timeout_s=60),
                MilvusOptions(own_milvus.uri, token="root:secret", timeout_s=60),
                MilvusOptions(own_milvus.uri, token="root:secret", timeout_s=0.2),
            )
        )
        patient.add(list(records.items()))
        assert len(hasty) == 30
        hasty._connection.options = never_connected._options
        own_milvus.kill()
        for index in (hasty, never_connected):
            for ask in CALLS:
                with pytest.raises(
                    GalleryUnavailableError, match=r"could not reach Milvus at 127.0.0.1:.*again"
                ) as error:
                    ask(index)
                assert "secret" not in str(error.value)
        own_milvus.start()
        hasty._connection.options = never_connected._connection.options = patient._options
        _wait_for(hasty)
        _wait_for(never_connected)
        for index in (patient, hasty, never_connected):
            (found,) = index.search(vector(1)[None], 5, EVERYTHING)
            assert_same(found, expected(records, vector(1), 5, EVERYTHING))
        hasty.add([(1000, record(1000))])
        assert (len(patient), patient.last_seq) == (31, 1000)


def _wait_for(index: MilvusIndex) -> None:
    """Of calls that do not wait one succeeds in the end."""
    for _ in range(600):
        try:
            len(index)
        except GalleryUnavailableError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the server was not found again")


CALLS: Final[list[Callable[[MilvusIndex], object]]] = [
    len,
    lambda index: index.last_seq,
    lambda index: index.passing(EVERYTHING),
    lambda index: index.search(vector(1)[None], 5, EVERYTHING),
    lambda index: index.add([(1, record(1))]),
    lambda index: index.update({1: Fields()}),
    lambda index: index.remove([1]),
]
