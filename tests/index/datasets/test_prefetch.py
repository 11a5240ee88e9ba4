import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from index.datasets.prefetch import prefetch

# Nothing here takes this long; it keeps a defect from hanging the tests.
PATIENCE_S = 20


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as pool:
        yield pool


class Counted:
    """Counts how many of its numbers were asked for."""

    def __init__(self, num: int | None = None) -> None:
        self.pulled = 0
        self._num = num

    def __iter__(self) -> Iterator[int]:
        for i in itertools.count():
            if self._num is not None and i >= self._num:
                return
            self.pulled += 1
            yield i


@pytest.mark.parametrize("ahead", [0, 1, 3, 100])
@pytest.mark.parametrize("num", [0, 1, 3, 4, 5, 50])
def test_every_result_comes_once_and_in_order(pool: ThreadPoolExecutor, num: int, ahead: int) -> None:
    assert list(prefetch(pool, lambda i: i * i, range(num), ahead)) == [i * i for i in range(num)]


def test_the_order_is_that_of_the_items_even_if_later_ones_are_done_first(pool: ThreadPoolExecutor) -> None:
    done = [threading.Event() for _ in range(20)]
    finished = []

    def odd_before_even(i: int) -> int:
        if i % 2 == 0:
            assert done[i + 1].wait(PATIENCE_S)
        finished.append(i)
        done[i].set()
        return i

    assert list(prefetch(pool, odd_before_even, range(20), ahead=2)) == list(range(20))
    assert all(finished.index(i + 1) < finished.index(i) for i in range(0, 20, 2))


def test_the_work_is_done_at_the_same_time(pool: ThreadPoolExecutor) -> None:
    barrier = threading.Barrier(3)
    assert list(prefetch(pool, lambda _: barrier.wait(PATIENCE_S) >= 0, range(6), ahead=2)) == [True] * 6


def test_the_work_is_not_done_in_the_callers_thread(pool: ThreadPoolExecutor) -> None:
    assert threading.get_ident() not in set(prefetch(pool, lambda _: threading.get_ident(), range(5), ahead=1))


@pytest.mark.parametrize("ahead", [0, 1, 4])
def test_it_takes_just_so_many_items_before_the_one_that_is_taken(pool: ThreadPoolExecutor, ahead: int) -> None:
    items = Counted(20)
    for taken, _ in enumerate(prefetch(pool, lambda i: i, items, ahead), 1):
        assert items.pulled == min(taken + ahead, 20)


def test_nothing_is_begun_before_the_first_is_asked_for(pool: ThreadPoolExecutor) -> None:
    items = Counted()
    results = prefetch(pool, lambda i: i, items, ahead=5)
    assert items.pulled == 0
    assert next(results) == 0
    assert items.pulled == 6


def test_items_without_an_end_are_fine(pool: ThreadPoolExecutor) -> None:
    assert list(itertools.islice(prefetch(pool, lambda i: -i, Counted(), ahead=3), 100)) == [-i for i in range(100)]


def test_an_error_comes_in_its_turn(pool: ThreadPoolExecutor) -> None:
    def reciprocal(i: int) -> float:
        return 1 / (3 - i)

    results = prefetch(pool, reciprocal, range(10), ahead=5)
    assert [next(results) for _ in range(3)] == [1 / 3, 1 / 2, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


@pytest.mark.parametrize("end", ["error of the work", "error of the items", "closed"])
def test_what_waits_is_cancelled_when_it_ends_early(end: str) -> None:
    ran, release = [], threading.Event()

    def work(i: int) -> int:
        ran.append(i)
        if i == 1 and end == "error of the work":
            raise ValueError("the work")
        if i == 2:
            assert release.wait(PATIENCE_S)  # the only thread stays here until the rest must have been cancelled
        return i

    def items() -> Iterator[int]:
        yield from range(8)
        if end == "error of the items":
            raise ValueError("the items")
        yield from range(8, 20)

    with ThreadPoolExecutor(1) as pool:
        results = prefetch(pool, work, items(), ahead=6)
        assert next(results) == 0
        if end == "closed":
            assert isinstance(results, Iterator)
            results.close()  # type: ignore[attr-defined]
        else:
            with pytest.raises(ValueError, match=end.split()[-1]):
                list(results)
        release.set()
    assert set(ran) <= {0, 1, 2}
