import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from unittest.mock import Mock

import numpy as np
import pytest
from numpy.typing import NDArray

from index.embedded.opening import open_gallery
from index.gallery.errors import GalleryError
from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from index.gallery.record_search import search_records
from index.gallery.refined_search import refined_search
from index.gallery.shared_search import MOST_TOGETHER, SharedSearch
from index.gallery.vector_index import Neighbours
from index.ranking.reranking import Refinement, Reranking
from tests.index.gallery.backends import Backend
from tests.index.gallery.memory_backend import NumpyIndex
from tests.index.naive_search import EVERYTHING, ids, naive, naive_groups
from tests.index.records import DIM, MODEL, in_one_frame, record, vector

NORTH = Filter(cameras=("north",))


class HeldIndex(NumpyIndex):
    """Waits in its first search until it is let go; notes how many queries came in each, and what it was asked.

    A query whose first number is 666 makes it fail.
    """

    def __init__(self, num: int = 50) -> None:
        super().__init__()
        self.add(
            [
                (seq, record(seq, camera="north" if seq % 2 else None, identity=f"v{seq % 7}"))
                for seq in range(1, num + 1)
            ]
        )
        self.let_go = threading.Event()
        self.entered = threading.Event()
        self.passes: list[tuple[int, Filter, str | None]] = []

    def search(
        self,
        queries: NDArray[np.float32],
        top_k: int,
        where: Filter,
        group_by: Literal["identity"] | None = None,
    ) -> list[Neighbours]:
        self.passes.append((len(queries), where, group_by))
        self.entered.set()
        assert self.let_go.wait(10)
        if (queries[:, 0] == 666).any():
            raise FloatingPointError("a query of 666")
        return super().search(queries, top_k, where, group_by)


@pytest.fixture
def index() -> HeldIndex:
    return HeldIndex()


@pytest.fixture
def shared(index: HeldIndex) -> SharedSearch:
    return SharedSearch(index)


@contextmanager
def blocked(
    shared: SharedSearch, index: HeldIndex, asked: Sequence[Callable[[], Any]]
) -> Iterator[list["Future[Any]"]]:
    """All of them wait behind one search, in this order, until the block is left."""
    with ThreadPoolExecutor(len(asked) + 1) as threads:
        first = threads.submit(shared.search, vector(0), 1, EVERYTHING)
        assert index.entered.wait(10)
        answers = []
        for num_waiting, ask in enumerate(asked, start=1):
            answers.append(threads.submit(ask))
            while len(shared._waiting) < num_waiting and not answers[-1].done():
                pass
        try:
            yield answers
        finally:
            index.let_go.set()
        first.result(10)


def alone(query: NDArray[np.float32], top_k: int, where: Filter = EVERYTHING, group_by: Any = None) -> Neighbours:
    index = HeldIndex()
    index.let_go.set()
    (nearest,) = index.search(query[None], top_k, where, group_by)
    return nearest


def assert_same(found: Neighbours, expected: Neighbours) -> None:
    assert found.seq.tolist() == expected.seq.tolist()
    assert found.distance.tolist() == expected.distance.tolist()
    assert found.searched == expected.searched


def asking(shared: SharedSearch, *arguments: Any) -> Callable[[], Neighbours]:
    return lambda: shared.search(*arguments)


def test_what_waits_goes_together_and_each_gets_as_many_as_it_asked_for(shared: SharedSearch, index: HeldIndex) -> None:
    asked = [(vector(seed), 1 + seed % 9, EVERYTHING) for seed in range(20)]
    with blocked(shared, index, [asking(shared, *one) for one in asked]) as answers:
        pass
    for one, answer in zip(asked, answers, strict=True):
        assert_same(answer.result(), alone(*one))
    assert [num for num, _, _ in index.passes] == [1, 20]


def test_equal_filters_go_together_and_others_in_passes_of_their_own_the_longest_waiting_first(
    shared: SharedSearch, index: HeldIndex
) -> None:
    kinds: list[tuple[Filter, str | None]] = [
        (Filter(cameras=("north",)), None),  # equal to the others, and not the same object
        (EVERYTHING, None),
        (Filter(cameras=("north",)), "identity"),
        (EVERYTHING, "identity"),
    ]
    asked = [(vector(seed), 3, *kinds[seed % 4]) for seed in range(24)]
    with blocked(shared, index, [asking(shared, *one) for one in asked]) as answers:
        pass
    for one, answer in zip(asked, answers, strict=True):
        assert_same(answer.result(), alone(*one))
    assert index.passes == [(1, EVERYTHING, None), *((6, *kind) for kind in kinds)]


def test_a_pass_is_bounded(shared: SharedSearch, index: HeldIndex) -> None:
    num = 2 * MOST_TOGETHER + 5
    with blocked(shared, index, [asking(shared, vector(seed), 2, EVERYTHING) for seed in range(num)]) as answers:
        pass
    for seed, answer in enumerate(answers):
        assert_same(answer.result(), alone(vector(seed), 2))
    assert [num for num, _, _ in index.passes] == [1, MOST_TOGETHER, MOST_TOGETHER, 5]


@pytest.mark.parametrize(
    "wrong",
    [
        np.full(DIM, 666, np.float32),  # the index fails, whatever the reason
        np.zeros(DIM + 1, np.float32),  # not as long as the others
    ],
)
@pytest.mark.parametrize("position", [0, 4, 9])
def test_a_query_that_fails_fails_alone(
    shared: SharedSearch, index: HeldIndex, wrong: NDArray[np.float32], position: int
) -> None:
    queries = [vector(seed) for seed in range(10)]
    queries[position] = wrong
    with blocked(shared, index, [asking(shared, query, 2, EVERYTHING) for query in queries]) as answers:
        pass
    for number, answer in enumerate(answers):
        if number == position:
            assert isinstance(answer.exception(), FloatingPointError | ValueError)
        else:
            assert_same(answer.result(), alone(queries[number], 2))
    assert_same(shared.search(vector(3), 4, NORTH), alone(vector(3), 4, NORTH))


def test_all_that_fail_get_their_own_error(shared: SharedSearch, index: HeldIndex) -> None:
    bad = [np.full(DIM, 666, np.float32) for _ in range(5)]
    with blocked(shared, index, [asking(shared, query, 1, EVERYTHING) for query in bad]) as answers:
        pass
    errors = [answer.exception() for answer in answers]
    assert all(isinstance(error, FloatingPointError) for error in errors)
    assert len({id(error) for error in errors}) == 5


@pytest.mark.parametrize("top_k", [0, -1])
def test_no_neighbour_at_all_is_refused(shared: SharedSearch, top_k: int) -> None:
    with pytest.raises(ValueError, match=f"top_k must be 1 or more, got {top_k}"):
        shared.search(vector(0), top_k, EVERYTHING)


def test_an_interrupted_pass_leaves_nobody_waiting(
    shared: SharedSearch, index: HeldIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    nearest = shared._nearest

    def interrupted(together: Sequence[Any]) -> list[Neighbours]:
        monkeypatch.setattr(shared, "_nearest", nearest)
        raise KeyboardInterrupt

    with blocked(shared, index, [asking(shared, vector(seed), 2, EVERYTHING) for seed in range(5)]) as answers:
        monkeypatch.setattr(shared, "_nearest", interrupted)
    errors = [answer.exception(10) for answer in answers]
    assert sorted(type(error).__name__ for error in errors) == ["GalleryError"] * 4 + ["KeyboardInterrupt"]
    assert_same(shared.search(vector(1), 2, EVERYTHING), alone(vector(1), 2))


def test_closing_answers_what_is_searched_and_refuses_what_waits(shared: SharedSearch, index: HeldIndex) -> None:
    with ThreadPoolExecutor(1) as closer:
        with blocked(shared, index, [asking(shared, vector(seed), 2, EVERYTHING) for seed in range(8)]) as answers:
            closed = closer.submit(shared.close)
            for answer in answers:
                with pytest.raises(GalleryError, match="the gallery is closed"):
                    answer.result(10)
            assert not closed.done()  # the first search is still under way
        closed.result(10)
    assert [num for num, _, _ in index.passes] == [1]
    with pytest.raises(GalleryError, match="the gallery is closed"):
        shared.search(vector(0), 1, EVERYTHING)
    shared.close()


def test_answers_to_many_threads_are_those_one_by_one(gallery: Gallery) -> None:
    batch = [in_one_frame(seed, camera="north" if seed % 3 else None, identity=f"v{seed % 40}") for seed in range(300)]
    gallery.enrol(batch)
    north = [one for one in batch if one.record.fields.camera == "north"]

    def ask(number: int) -> list[str]:
        query, top_k = vector(1000 + number), 1 + number % 30
        match number % 3:
            case 0:
                return ids(gallery.search(query, top_k, EVERYTHING))
            case 1:
                return ids(gallery.search(query, top_k, Filter(cameras=("north",))))
            case _:
                return ids(gallery.search(query, top_k, EVERYTHING, "identity"))

    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(ask, range(240)))
    for number, answer in enumerate(answers):
        query, top_k = vector(1000 + number), 1 + number % 30
        if number % 3 == 2:
            assert answer == naive_groups(batch, query, top_k)
        else:
            assert answer == naive(north if number % 3 else batch, query, top_k)


def test_every_way_to_search_shares_its_passes(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery.enrol([in_one_frame(seed) for seed in range(20)])
    shared = Mock(wraps=gallery._shared_search.search_many)  # through which `search` goes too
    monkeypatch.setattr(gallery._shared_search, "search_many", shared)

    def asked_for() -> list[int]:
        """The top_k of each search so far."""
        return [call.args[1] for call in shared.call_args_list]

    gallery.search(vector(0), 3, EVERYTHING)
    next(refined_search(gallery, vector(0)[None], 3, EVERYTHING, Refinement(2, Reranking())))
    assert asked_for() == [3, 2, 200]
    # The index names a record that the store does not bear out: the search is widened by it.
    gallery._index.update({1: record(0, camera="x").fields})
    search_records(gallery._shared_search, gallery._index, gallery._store, vector(0), 1, Filter(cameras=("x",)), None)
    assert asked_for() == [3, 2, 200, 1, 2]


def test_a_closed_gallery_says_so(backend: Backend) -> None:
    gallery = backend.open()
    gallery.enrol([in_one_frame(seed) for seed in range(5)])
    gallery.close()
    grouping: tuple[Literal["identity"] | None, ...] = (None, "identity")
    for group_by in grouping:
        with pytest.raises(GalleryError, match="the gallery is closed"):
            gallery.search(vector(0), 3, EVERYTHING, group_by)
    with pytest.raises(GalleryError, match="the gallery is closed"):
        next(refined_search(gallery, vector(0)[None], 3, EVERYTHING, Refinement(2, Reranking())))


def test_searches_while_the_gallery_is_closed_are_answered_or_say_so(tmp_path: Path) -> None:
    """Closing ends threads that a search uses."""
    batch = [in_one_frame(seed) for seed in range(60)]
    for attempt in range(8):
        gallery = open_gallery(tmp_path / str(attempt), MODEL, DIM)
        gallery.enrol(batch)
        started = threading.Barrier(7)

        def ask(seed: int, gallery: Gallery = gallery, started: threading.Barrier = started) -> int:
            started.wait(10)
            for number in range(10_000):
                try:
                    found = gallery.search(vector(seed + number), 3, EVERYTHING)
                except GalleryError as error:
                    assert str(error) == "the gallery is closed"  # noqa: PT017 (any other error fails the test as well)
                    return number
                assert ids(found) == naive(batch, vector(seed + number), 3)
            raise AssertionError("it was never closed")

        with ThreadPoolExecutor(6) as threads:
            answers = [threads.submit(ask, 100_000 * seed) for seed in range(6)]
            started.wait(10)
            gallery.search(vector(0), 1, EVERYTHING)
            gallery.close()
            for answer in answers:
                answer.result(10)


@pytest.mark.parametrize(
    "call",
    [
        lambda gallery: gallery.enrol([in_one_frame(9)]),
        lambda gallery: gallery.update(in_one_frame(0).record.id, {"camera": "c"}),
        lambda gallery: gallery.delete(in_one_frame(0).record.id),
        lambda gallery: gallery.delete_passing(Filter(identity="a")),
        lambda gallery: gallery.get(in_one_frame(0).record.id),
        lambda gallery: gallery.known([in_one_frame(0).record.id]),
        lambda gallery: gallery.page(EVERYTHING, 5, None),
        lambda gallery: gallery.stats(5),
    ],
    ids=["enrol", "update", "delete", "delete_identity", "get", "known", "page", "stats"],
)
def test_whatever_is_asked_of_a_closed_folder_it_is_closed(tmp_path: Path, call: Callable[[Gallery], object]) -> None:
    gallery = open_gallery(tmp_path, MODEL, DIM)
    gallery.enrol([in_one_frame(seed, identity="a") for seed in range(5)])
    gallery.close()
    with pytest.raises(GalleryError, match="the gallery is closed"):
        call(gallery)
