import numpy as np
import pytest

from index.embedded.search import inverted_index
from index.embedded.search.inverted_index import InvertedIndex


@pytest.fixture(autouse=True)
def soon_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    """New postings are sorted in from the sixth on, so that few rows go through all states."""
    monkeypatch.setattr(inverted_index, "_MIN_NEW", 5)


def contents(index: InvertedIndex, num_rows: int, codes: range = range(-3, 10)) -> list[set[int]]:
    """The codes of each row, from what is found."""
    found = [(row, code) for code in codes for row in index.rows_with(code).tolist()]
    assert len(found) == len(set(found))
    return [{code for other, code in found if other == row} for row in range(num_rows)]


def test_rows_are_found_by_every_code_that_they_have() -> None:
    index = InvertedIndex().with_rows(0, [[3, -2], [], [3]]).with_rows(3, [[-1]])
    assert sorted(index.rows_with(3).tolist()) == [0, 2]
    assert index.rows_with(-2).tolist() == [0]
    assert index.rows_with(-1).tolist() == [3]
    assert index.rows_with(0).tolist() == []
    assert InvertedIndex().rows_with(3).tolist() == []


def test_codes_of_64_bits_and_the_last_row() -> None:
    least, most = -(2**63), 2**63 - 1
    index = InvertedIndex().with_rows(65_534, [[least, 1], [most, 1]])
    assert index.rows_with(least).tolist() == [65_534]
    assert index.rows_with(most).tolist() == [65_535]
    assert sorted(index.rows_with(1).tolist()) == [65_534, 65_535]


def test_rows_added_and_changed_at_random_are_found_by_their_last_codes() -> None:
    rng = np.random.default_rng(7)
    index = InvertedIndex()
    expected: list[set[int]] = []
    num_sorted = 0
    for _ in range(300):
        codes = [set(rng.integers(-3, 10, rng.integers(0, 5)).tolist()) for _ in range(int(rng.integers(1, 4)))]
        if expected and rng.random() < 0.6:
            rows = rng.permutation(len(expected))[: len(codes)]
            index = index.with_codes(rows, codes[: len(rows)])
            for row, of_row in zip(rows.tolist(), codes, strict=False):
                expected[row] = of_row
        else:
            index = index.with_rows(len(expected), codes)
            expected += codes
        num_sorted += index.outdated is None
        assert contents(index, len(expected)) == expected
    assert 5 < num_sorted < 295
    assert (np.diff(index.sorted_codes) >= 0).all()


def test_an_index_that_is_replaced_stays_as_it_was() -> None:
    before = InvertedIndex().with_rows(0, [[1, 2, 3], [4, 5, 6]])
    after = before.with_codes(np.array([0]), [[7]]).with_rows(2, [[1]])
    assert contents(before, 2) == [{1, 2, 3}, {4, 5, 6}]
    assert contents(after, 3) == [{7}, {4, 5, 6}, {1}]


def test_rows_of_another_index_get_new_numbers() -> None:
    other = InvertedIndex().with_rows(0, [[1], [2, 3], [], [4, 1]]).with_codes(np.array([1]), [[5]])
    index = InvertedIndex().with_rows(0, [[9]]).with_rows_of(other, np.array([1, 3]), 1)
    assert contents(index, 3) == [{9}, {5}, {4, 1}]


def test_what_no_longer_holds_takes_no_memory_for_good() -> None:
    index = InvertedIndex().with_rows(0, [[code, code + 1] for code in range(8)])
    for turn in range(100):
        index = index.with_codes(np.array([turn % 8]), [[turn % 7]])
    num_postings = len(index.sorted_codes) + len(index.new_codes)
    assert 8 <= num_postings <= 8 + 2 * 8
