import random
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.embedded.search.bounds import Pairs
from index.embedded.search.nearest import Nearest
from index.embedded.search.row_block import RowBlock
from tests.index.embedded.naive_neighbours import (
    KINDS,
    Vectors,
    assert_same,
    fields_of,
    gallery,
    ids_of,
    naive_neighbours,
)


def blocks_of(vectors: Vectors, num_rows: int) -> list[RowBlock]:
    """Blocks of `num_rows` rows; seqs from 1 on."""
    blocks = []
    for start in range(0, len(vectors), num_rows):
        block, rows = RowBlock(vectors.shape[1], num_rows, None), vectors[start : start + num_rows]
        seqs = np.arange(start + 1, start + 1 + len(rows))
        block.put(0, rows, seqs, ids_of(seqs.tolist()), fields_of(seqs.tolist()))
        blocks.append(block)
    return blocks


def pairs_of(pairs: list[tuple[int, int]]) -> Pairs:
    """Of (query, row)."""
    both = np.array(pairs, np.int64).reshape(-1, 2)
    return Pairs(both[:, 0].copy(), both[:, 1].copy())


@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted(KINDS)), st.integers(1, 9), st.integers(1, 45), st.integers(1, 5), st.integers(0, 2**32 - 1)
)  # fmt: skip
def test_the_nearest_of_all_that_was_offered(kind: str, dim: int, top_k: int, num_queries: int, seed: int) -> None:
    rng = random.Random(seed)
    vectors, queries = gallery(kind, 40, dim, seed), gallery(kind, num_queries, dim, seed + 1)
    if rng.random() < 0.3:
        queries[-1] = vectors[rng.randrange(40)]
    nearest = Nearest(queries, top_k, blocks_of(vectors, 15))
    left = rng.sample(range(40 * num_queries), 40 * num_queries)
    offered: list[dict[int, Vectors]] = [{} for _ in queries]
    while left:
        together = [left.pop() for _ in range(min(len(left), rng.randint(1, 30)))]
        for block in range(3):
            nearest.offer(
                block, pairs_of([(pair // 40, pair % 40 % 15) for pair in together if pair % 40 // 15 == block])
            )
        for pair in together:
            offered[pair // 40][pair % 40 + 1] = vectors[pair % 40]
        answers = nearest.neighbours(7)
        for answer, query, rows, limit in zip(answers, queries, offered, nearest.distances, strict=True):
            expected = naive_neighbours(rows, query, top_k)._replace(searched=7)
            assert_same(answer, expected)
            # A limit for rows to come: none that belongs to the answer may lie beyond it.
            if len(rows) < min(top_k, 45):
                assert limit == np.inf
            else:
                assert limit >= expected.distance[-1]


@pytest.mark.parametrize("kind", ["noise", "clusters", "far", "very_far", "huge"])
def test_the_limit_is_close(kind: str) -> None:
    """Within what float32 leaves open of the distance of the last one."""
    vectors, (query,) = gallery(kind, 40, 20, seed=0), gallery(kind, 1, 20, seed=1)
    nearest = Nearest(query[None], 5, blocks_of(vectors, 40))
    nearest.offer(0, pairs_of([(0, row) for row in range(40)]))
    last = naive_neighbours({row + 1: vectors[row] for row in range(40)}, query, 5).distance[-1]
    if last**2 < np.finfo(np.float32).max:
        assert last <= nearest.distances[0] <= last * (1 + 4 * 22 * 2.0**-24)
    else:
        assert nearest.distances.tolist() == [np.inf]


def test_squares_that_overflow_though_the_true_ones_do_not() -> None:
    """Around float32's largest number rounding alone decides which squared distances are infinite."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(400, 40))
    lengths = np.sqrt(float(np.finfo(np.float32).max)) * (1 + rng.normal(scale=1e-7, size=(400, 1)))
    rows = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True) * lengths).astype(np.float32)
    query = np.zeros(40, np.float32)
    for top_k in (1, 50, 150, 200, 250, 400):
        nearest = Nearest(query[None], top_k, blocks_of(rows, 400))
        for start in range(0, 400, 50):
            nearest.offer(0, pairs_of([(0, row) for row in range(start, start + 50)]))
        expected = naive_neighbours({row + 1: rows[row] for row in range(400)}, query, top_k)
        assert_same(nearest.neighbours(400)[0], expected)


def test_queries_do_not_share_a_limit() -> None:
    """One has found its nearest, one has found too few, one has found nothing."""
    vectors = gallery("noise", 40, 3, seed=0)
    queries = gallery("noise", 3, 3, seed=1)
    nearest = Nearest(queries, 4, blocks_of(vectors, 40))
    nearest.offer(0, pairs_of([(0, row) for row in range(40)] + [(2, 5), (2, 6), (2, 7)]))
    rows = {row + 1: vectors[row] for row in range(40)}
    found = nearest.neighbours(40)
    assert_same(found[0], naive_neighbours(rows, queries[0], 4))
    assert found[1].seq.tolist() == []
    assert_same(found[2]._replace(searched=3), naive_neighbours({seq: rows[seq] for seq in (6, 7, 8)}, queries[2], 4))
    assert np.isinf(nearest.distances).tolist() == [False, True, True]


def test_more_than_there_can_be_need_no_room() -> None:
    vectors = gallery("noise", 40, 3, seed=0)
    nearest = Nearest(vectors[:1], 10**12, blocks_of(vectors, 15))
    assert nearest.top_k == 45
    nearest.offer(1, pairs_of([(0, 3)]))
    assert nearest.neighbours(1)[0].seq.tolist() == [19]


def test_nothing_offered_is_nothing_found() -> None:
    nearest = Nearest(np.zeros((1, 3), np.float32), 5, blocks_of(gallery("noise", 4, 3, seed=0), 4))
    nearest.offer(0, pairs_of([]))
    (found,) = nearest.neighbours(0)
    assert (found.seq.tolist(), found.distance.tolist(), found.searched) == ([], [], 0)
    assert len(Nearest(np.zeros((2, 3), np.float32), 5, []).neighbours(0)) == 2


def test_threads_offer_different_rows_at_the_same_time() -> None:
    vectors, queries = gallery("grid", 4000, 4, seed=0), gallery("grid", 2, 4, seed=1)
    nearest = Nearest(queries, 300, blocks_of(vectors, 1000))

    def offer(block: int) -> None:
        for start in range(0, 1000, 10):
            nearest.offer(block, pairs_of([(query, row) for row in range(start, start + 10) for query in (0, 1)]))

    threads = [threading.Thread(target=offer, args=(block,)) for block in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for found, query in zip(nearest.neighbours(4000), queries, strict=True):
        assert_same(found, naive_neighbours({row + 1: vectors[row] for row in range(4000)}, query, 300))
