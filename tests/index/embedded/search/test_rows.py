import numpy as np

from index.embedded.search.row_block import RowBlock
from index.embedded.search.rows import Rows, with_rows
from tests.index.embedded.naive_neighbours import fields_of, gallery, ids_of


def rows_of(seqs: list[int], capacity: int = 10) -> Rows:
    return plus(Rows.none_yet(RowBlock(2, capacity, None)), seqs)


def plus(rows: Rows, seqs: list[int]) -> Rows:
    return rows.plus(gallery("noise", len(seqs), 2, seed=len(seqs)), np.array(seqs), ids_of(seqs), fields_of(seqs))


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


def test_positions_of_seqs_alive_dead_and_absent() -> None:
    rows = rows_of([2, 5, 9]).minus(np.array([5]))
    assert rows.positions(np.array([9, 1, 2, 5, 10, 9])).tolist() == [2, -1, 0, 1, -1, 2]
    assert rows.positions(np.empty(0, np.int64)).tolist() == []
    assert Rows.none_yet(RowBlock(2, 4, None)).positions(np.array([0, 1])).tolist() == [-1, -1]


def test_the_living_rows_of_blocks_are_put_together() -> None:
    first, second = rows_of([2, 5, 9]).minus(np.array([5])), rows_of([11, 12]).minus(np.array([11]))
    both = plus(Rows.none_yet(RowBlock(2, 10, None)).plus_alive_of(first).plus_alive_of(second), [20])
    assert both.seqs.tolist() == [2, 9, 12, 20]
    assert (both.num_rows, both.num_dead) == (4, 0)
    rows = [(first, 0), (first, 2), (second, 1)]
    for row, (old, old_row) in enumerate(rows):
        assert both.block.ids[row] == old.block.ids[old_row]
        assert np.array_equal(both.block.vectors[row], old.block.vectors[old_row])
        assert both.block.columns.identity[row] == old.block.columns.identity[old_row]


def test_rows_fill_the_last_block_and_then_new_ones() -> None:
    times = np.arange(100, 108)
    first = plus(Rows.none_yet(RowBlock(2, 3, None)), [1, 2])
    vectors = gallery("noise", 8, 2, seed=5)
    seqs = list(range(3, 11))
    blocks = with_rows(
        [first], lambda: RowBlock(2, 3, None), vectors, np.array(seqs), ids_of(seqs), fields_of(seqs), times
    )
    assert [rows.seqs.tolist() for rows in blocks] == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10]]
    last = blocks[-1]
    np.testing.assert_array_equal(last.block.vectors[:1], vectors[-1:])
    assert [rows.block.enrolled_at[: rows.num_rows].tolist() for rows in blocks] == [
        [0, 0, 100], [101, 102, 103], [104, 105, 106], [107]
    ]  # fmt: skip
    # A compacted block keeps the times.
    kept = Rows.none_yet(RowBlock(2, 9, None)).plus_alive_of(blocks[1].minus(np.array([5])))
    assert kept.block.enrolled_at[:2].tolist() == [101, 103]
    assert kept.seqs.tolist() == [4, 6]
