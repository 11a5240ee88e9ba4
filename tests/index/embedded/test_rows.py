import numpy as np

from index.embedded.row_block import RowBlock
from index.embedded.rows import Rows
from tests.index.embedded.naive_neighbours import gallery, ids_of


def rows_of(seqs: list[int], capacity: int = 10) -> Rows:
    return plus(Rows.none_yet(RowBlock(2, capacity, None)), seqs)


def plus(rows: Rows, seqs: list[int]) -> Rows:
    return rows.plus(gallery("noise", len(seqs), 2, seed=len(seqs)), np.array(seqs), ids_of(seqs))


def among(rows: Rows, seqs: list[int]) -> list[int]:
    return [int(seq) for seq in rows.seqs[rows.among(np.array(seqs, np.int64))]]


def test_rows_are_counted() -> None:
    rows = rows_of([2, 5, 9])
    assert (rows.num_rows, rows.num_dead, rows.num_alive, rows.num_free) == (3, 0, 3, 7)
    fewer = rows.minus(np.array([1, 5, 7, 9, 11]))
    assert (fewer.num_rows, fewer.num_dead, fewer.num_alive, fewer.num_free) == (3, 2, 1, 7)
    more = plus(fewer, [12, 13])
    assert (more.num_rows, more.num_dead, more.num_alive, more.num_free) == (5, 2, 3, 5)
    assert more.alive[:5].tolist() == [True, False, False, True, True]


def test_what_was_seen_stays_as_it_was() -> None:
    before = rows_of([2, 5, 9])
    after = plus(before.minus(np.array([5])), [10])
    assert before.seqs.tolist() == [2, 5, 9]
    assert before.alive[:3].all()
    assert after.seqs.tolist() == [2, 5, 9, 10]
    assert after.block is before.block


def test_a_row_is_deleted_once() -> None:
    rows = rows_of([2, 5, 9]).minus(np.array([5]))
    assert rows.minus(np.array([5])) is rows
    assert rows.minus(np.array([5, 9])).num_dead == 2
    assert rows.minus(np.empty(0, np.int64)) is rows


def test_among_are_the_living_of_those_that_are_asked_for() -> None:
    rows = rows_of([2, 5, 9]).minus(np.array([5]))
    assert among(rows, [1, 2, 5, 9, 10]) == [2, 9]
    assert among(rows, [3, 9]) == [9]
    assert among(rows, [1]) == among(rows, [10]) == among(rows, []) == []
    assert among(Rows.none_yet(RowBlock(2, 4, None)), [1, 2]) == []
    assert among(Rows.none_yet(RowBlock(2, 0, None)), [1]) == []
