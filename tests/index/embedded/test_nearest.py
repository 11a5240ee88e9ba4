import random
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.embedded.nearest import Nearest
from index.embedded.row_block import RowBlock
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


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.integers(1, 9), st.integers(1, 45), st.integers(0, 2**32 - 1))
def test_the_nearest_of_all_that_was_offered(kind: str, dim: int, top_k: int, seed: int) -> None:
    rng = random.Random(seed)
    vectors, (query,) = gallery(kind, 40, dim, seed), gallery(kind, 1, dim, seed + 1)
    if rng.random() < 0.3:
        query = vectors[rng.randrange(40)]
    nearest = Nearest(query, top_k, blocks_of(vectors, 15))
    rows = rng.sample(range(40), 40)
    offered: dict[int, Vectors] = {}
    while rows:
        some = [rows.pop() for _ in range(min(len(rows), rng.randint(1, 12)))]
        for block in range(3):
            nearest.offer(block, np.array([row % 15 for row in some if row // 15 == block], np.int64))
        offered |= {row + 1: vectors[row] for row in some}
        expected = naive_neighbours(offered, query, top_k)
        assert_same(nearest.neighbours(len(offered)), expected)
        # A limit for rows to come: none that belongs to the answer may lie beyond it.
        if len(offered) < top_k:
            assert nearest.distance == np.inf
        else:
            assert nearest.distance >= expected.distance[-1]


@pytest.mark.parametrize("kind", ["noise", "clusters", "far", "very_far", "huge"])
def test_the_limit_is_close(kind: str) -> None:
    """Within what float32 leaves open of the distance of the last one."""
    vectors, (query,) = gallery(kind, 40, 20, seed=0), gallery(kind, 1, 20, seed=1)
    nearest = Nearest(query, 5, blocks_of(vectors, 40))
    nearest.offer(0, np.arange(40))
    last = naive_neighbours({row + 1: vectors[row] for row in range(40)}, query, 5).distance[-1]
    if last**2 < np.finfo(np.float32).max:
        assert last <= nearest.distance <= last * (1 + 4 * 22 * 2.0**-24)
    else:
        assert nearest.distance == np.inf


def test_squares_that_overflow_though_the_true_ones_do_not() -> None:
    """Around float32's largest number rounding alone decides which squared distances are infinite."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(400, 40))
    lengths = np.sqrt(float(np.finfo(np.float32).max)) * (1 + rng.normal(scale=1e-7, size=(400, 1)))
    rows = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True) * lengths).astype(np.float32)
    query = np.zeros(40, np.float32)
    for top_k in (1, 50, 150, 200, 250, 400):
        nearest = Nearest(query, top_k, blocks_of(rows, 400))
        for start in range(0, 400, 50):
            nearest.offer(0, np.arange(start, start + 50))
        expected = naive_neighbours({row + 1: rows[row] for row in range(400)}, query, top_k)
        assert_same(nearest.neighbours(400), expected)


def test_nothing_offered_is_nothing_found() -> None:
    nearest = Nearest(np.zeros(3, np.float32), 5, blocks_of(gallery("noise", 4, 3, seed=0), 4))
    nearest.offer(0, np.empty(0, np.int64))
    found = nearest.neighbours(0)
    assert (found.seq.tolist(), found.distance.tolist(), found.searched) == ([], [], 0)


def test_threads_offer_different_rows_at_the_same_time() -> None:
    vectors, (query,) = gallery("grid", 4000, 4, seed=0), gallery("grid", 1, 4, seed=1)
    nearest = Nearest(query, 300, blocks_of(vectors, 1000))

    def offer(block: int) -> None:
        for start in range(0, 1000, 10):
            nearest.offer(block, np.arange(start, start + 10))

    threads = [threading.Thread(target=offer, args=(block,)) for block in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = naive_neighbours({row + 1: vectors[row] for row in range(4000)}, query, 300)
    assert_same(nearest.neighbours(4000), expected)
