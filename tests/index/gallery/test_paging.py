from contextlib import closing
from unittest.mock import Mock

import pytest

from index.gallery.errors import CursorError
from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from tests.index.gallery.backends import Backend
from tests.index.naive_search import EVERYTHING, listed
from tests.index.records import MODEL, OTHER_MODELS, enrolment, record


@pytest.mark.parametrize("limit", [1, 2, 7, 19, 20, 21, 1000])
def test_the_pages_show_every_record_once_in_the_order_of_enrolment(gallery: Gallery, limit: int) -> None:
    expected = [record(seed).id for seed in (*range(10, 20), *range(10))]
    gallery.enrol([enrolment(seed, camera=str(seed % 2)) for seed in range(10, 20)])
    gallery.enrol([enrolment(seed, camera=str(seed % 2)) for seed in range(10)])
    assert listed(gallery, limit) == expected
    assert listed(gallery, limit, Filter(cameras=("1",))) == expected[1::2]
    page = gallery.page(Filter(cameras=("1",)), limit, None)
    assert (page.total, len(page.records)) == (10, min(limit, 10))


def test_records_that_stay_are_listed_once_while_others_come_and_go(gallery: Gallery) -> None:
    gallery.enrol([enrolment(seed) for seed in range(30)])
    seen: list[str] = []
    cursor, seed = None, 0
    while True:
        page = gallery.page(EVERYTHING, 4, cursor)
        seen += [one.id for one in page.records]
        cursor = page.next_cursor
        if cursor is None:
            break
        # The record that the cursor stands on, one long since listed, and one far ahead.
        for id_ in {page.records[-1].id, record(29 - seed).id}:
            gallery.delete(id_)
        if seed < 4:
            gallery.enrol([enrolment(100 + seed)])
        seed += 1
    assert len(seen) == len(set(seen))
    deleted_ahead = {record(29 - i).id for i in range(seed)}
    assert {record(i).id for i in range(30)} - deleted_ahead <= set(seen)
    assert {record(100 + i).id for i in range(4)} <= set(seen)


def test_an_empty_gallery_has_one_empty_page(gallery: Gallery) -> None:
    page = gallery.page(EVERYTHING, 5, None)
    assert (page.records, page.next_cursor, page.total) == ([], None, 0)


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "!", "1.5", "å", "1 2", "--1", "-1", "1y2p0ij32e8e8", "z" * 100, "z" * 10_000),
        *("1_0", " 1", "1 ", "1\n", "+1", "A", "0", "01", "١", "１", "0x1", "2z", "c"),
    ],
)
def test_a_cursor_that_no_page_gave_is_refused(gallery: Gallery, cursor: str) -> None:
    gallery.enrol([enrolment(seed) for seed in range(11)])
    with pytest.raises(CursorError, match="is no cursor"):
        gallery.page(EVERYTHING, 5, cursor)


def test_the_pages_go_on_behind_a_damaged_record(damaged: Gallery) -> None:
    assert listed(damaged, limit=2) == [record(seed).id for seed in (0, 1, 3, 4)]
    assert damaged.page(EVERYTHING, 2, None).total == 5


@pytest.mark.parametrize("limit", [1, 4, 7, 100])
def test_the_pages_show_records_of_every_model_in_the_order_of_enrolment(backend: Backend, limit: int) -> None:
    seeds = iter(range(100))
    for model in (*OTHER_MODELS, MODEL, OTHER_MODELS[0], MODEL):
        with closing(backend.open(model)) as gallery:
            gallery.enrol(
                [enrolment(next(seeds), model=model, camera=str(number % 2), tags=("van",)) for number in range(6)]
            )
    backend.damage(8)
    backend.damage(21)
    for model in (MODEL, *OTHER_MODELS):
        with closing(backend.open(model)) as gallery:
            intact = [seed for seed in range(30) if seed not in (7, 20)]
            assert listed(gallery, limit) == [record(seed).id for seed in intact]
            for where in (Filter(cameras=("1",)), Filter(cameras=("1",), tags=("van",))):
                assert listed(gallery, limit, where) == [record(seed).id for seed in intact if seed % 2]
            gallery.get(record(0).id)
            assert gallery.page(EVERYTHING, limit, None).total == 30
            assert gallery.page(Filter(tags=("van",)), limit, "a").total == 30  # also behind a cursor
            assert gallery.page(Filter(cameras=("0",)), limit, None).total == 15
            assert gallery.page(Filter(cameras=("2",)), limit, None).total == 0


def test_a_page_reads_its_own_records_and_no_others(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery.enrol([enrolment(seed, camera=str(seed % 5)) for seed in range(60)])
    read = Mock(wraps=gallery._store.records_at)
    monkeypatch.setattr(gallery._store, "records_at", read)
    page = gallery.page(Filter(cameras=("3",)), 4, gallery.page(Filter(cameras=("3",)), 2, None).next_cursor)
    assert [one.id for one in page.records] == [record(seed).id for seed in (13, 18, 23, 28)]
    assert [call.args for call in read.call_args_list] == [([4, 9],), ([14, 19, 24, 29],)]
    assert page.total == 12
