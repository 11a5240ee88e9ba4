import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from index.embedded.index_sizes import IndexSizes
from index.embedded.search import row_block, row_blocks
from index.embedded.search.row_blocks import RowBlocks
from index.gallery.fields import Fields
from index.gallery.vector_index import Neighbours

Vectors = NDArray[np.float32]

# Small, so that thousands of rows lie in several blocks.
BLOCK_ROWS: Final = 5000


class ExactSearch:
    """Row blocks, asked one query at a time, of all rows or of those with some seqs."""

    opened: Final[list["ExactSearch"]] = []

    def __init__(self, dim: int, num_threads: int = 2) -> None:
        self._dim = dim
        self._blocks = RowBlocks(dim, num_threads, IndexSizes(BLOCK_ROWS))
        self.opened.append(self)

    def __len__(self) -> int:
        return len(self._blocks)

    @property
    def last_seq(self) -> int:
        return self._blocks.last_seq

    def add(self, vectors: Vectors, seqs: list[int], ids: list[str]) -> None:
        self._blocks.add(vectors, seqs, ids, [Fields()] * len(seqs))

    def remove(self, seqs: list[int]) -> None:
        self._blocks.remove(seqs)

    def search(self, query: Vectors, top_k: int, seqs: NDArray[np.int64] | None = None) -> Neighbours:
        return self.search_batch(query[None], top_k, seqs)[0]

    def search_batch(self, queries: Vectors, top_k: int, seqs: NDArray[np.int64] | None = None) -> list[Neighbours]:
        if seqs is None:
            return self._blocks.search(queries, top_k)
        # A copy: `isin` looks twice at seqs, while the next ones are written.
        return self._blocks.search(queries, top_k, lambda block: np.isin(block.seqs.copy(), seqs))

    def settle(self) -> None:
        self._blocks.settle()

    def use_threads(self, num_threads: int) -> None:
        """The same rows, searched by another number of threads."""
        self._blocks._searching.shutdown()
        self._blocks._searching = ThreadPoolExecutor(num_threads)

    def close(self) -> None:
        self._blocks.close()


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while ExactSearch.opened:
        ExactSearch.opened.pop().close()


def id_of(seq: int) -> str:
    """Ids are hashes: their order has nothing to do with that of the seqs."""
    return f"{seq * 2_654_435_761 % 2**32:032x}"


def filled(vectors: Vectors, seqs: list[int] | None = None) -> ExactSearch:
    seqs = list(range(1, len(vectors) + 1)) if seqs is None else seqs
    search = ExactSearch(vectors.shape[1])
    search.add(vectors, seqs, [id_of(seq) for seq in seqs])
    search.settle()
    return search


def naive(vectors: Vectors, query: Vectors, top_k: int, seqs: list[int]) -> tuple[list[int], list[float]]:
    """A full scan in float64; row i of the vectors has seqs[i]."""
    distances: list[float] = []
    for start in range(0, len(vectors), 1000):
        differences = vectors[start : start + 1000].astype(np.float64) - query.astype(np.float64)
        distances += np.sqrt((differences**2).sum(axis=1)).tolist()
    ranked = sorted(zip(distances, map(id_of, seqs), seqs, strict=True))[:top_k]
    return [seq for _, _, seq in ranked], [distance for distance, _, _ in ranked]


def assert_is_naive(found: Neighbours, vectors: Vectors, query: Vectors, top_k: int, seqs: list[int]) -> None:
    expected_seqs, expected_distances = naive(vectors, query, top_k, seqs)
    assert found.seq.tolist() == expected_seqs
    np.testing.assert_allclose(found.distance, expected_distances, rtol=1e-12)
    assert found.searched == len(seqs)


def random(num: int, dim: int, seed: int) -> Vectors:
    return np.random.default_rng(seed).standard_normal((num, dim)).astype(np.float32)


def clustered(num: int, dim: int, seed: int) -> Vectors:
    return random(10, dim, seed)[np.arange(num) % 10] + np.float32(0.01) * random(num, dim, seed + 1)


def near_duplicates(num: int, dim: int, seed: int) -> Vectors:
    """One vector whose numbers are changed by a millionth each."""
    return random(1, dim, seed) * (1 + np.float32(1e-6) * random(num, dim, seed + 1))


def shifted(num: int, dim: int, seed: int) -> Vectors:
    """Far from the origin, close together: what ||a||^2 - 2ab + ||b||^2 cancels away."""
    return 1000 + np.float32(0.01) * random(num, dim, seed)


DATA = [random, clustered, near_duplicates, shifted]


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("dim", [8, 64, 2560])
def test_the_answer_is_that_of_a_full_scan_in_float64(data: Callable[[int, int, int], Vectors], dim: int) -> None:
    vectors = data(400, dim, 3)
    search, seqs = filled(vectors), list(range(1, 401))
    for query in (data(1, dim, 5)[0], random(1, dim, 4)[0], vectors[7]):
        for top_k in (1, 10, 150):
            assert_is_naive(search.search(query, top_k), vectors, query, top_k, seqs)


def test_the_near_duplicates_are_such_that_float32_alone_is_wrong() -> None:
    vectors, query = near_duplicates(400, 2560, 3), random(1, 2560, 4)[0]
    index = faiss.IndexFlatL2(2560)
    index.add(vectors)
    _, found = index.search(query[None], 10 + 16)
    expected, _ = naive(vectors, query, 10, list(range(400)))
    assert not set(expected) <= set(found[0].tolist())


@pytest.mark.parametrize("top_k", [1, 383, 384, 385, 399, 400, 401, 10_000])
def test_top_k_may_reach_or_pass_the_number_of_rows(top_k: int) -> None:
    vectors, query = random(400, 16, 1), random(1, 16, 2)[0]
    assert_is_naive(filled(vectors).search(query, top_k), vectors, query, top_k, list(range(1, 401)))


# Enough that a folding is learned, in more than one block.
NUM_MANY: Final = 6_120


@pytest.fixture
def all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search has work for many threads, however few its rows are."""
    monkeypatch.setattr(row_blocks, "_STRETCH_ROWS", 400)


def assert_is_naive_on_any_threads(
    search: ExactSearch, vectors: Vectors, queries: Vectors, top_k: int, seqs: list[int], wanted: list[int] | None
) -> None:
    """Row i of the vectors has seqs[i]; `wanted` are those of them to search, all if None."""
    present = seqs if wanted is None else sorted(set(seqs) & set(wanted))
    candidates = vectors if wanted is None else vectors[np.searchsorted(seqs, present)]
    given = None if wanted is None else np.array(wanted, np.int64)
    expected = [naive(candidates, query, top_k, present) for query in queries]
    for num_threads in (1, 3, 32):
        search.use_threads(num_threads)
        alone = [search.search(query, top_k, given) for query in queries]
        together = search.search_batch(queries, top_k, given)
        for one, other, (expected_seqs, distances) in zip(alone, together, expected, strict=True):
            assert one.seq.tolist() == other.seq.tolist() == expected_seqs, f"{num_threads} threads"
            assert one.distance.tolist() == other.distance.tolist()
            np.testing.assert_allclose(one.distance, distances, rtol=1e-12)
            assert one.searched == other.searched == len(present)


@pytest.mark.usefixtures("all_threads")
@pytest.mark.parametrize("num", [4_095, 5_001, NUM_MANY])
@pytest.mark.parametrize(("dim", "spread"), [(1, 1.0), (64, 0.01), (64, 1.0), (512, 0.1)])
def test_many_rows_far_from_the_origin_are_searched_exactly(dim: int, spread: float, num: int) -> None:
    vectors = 1000 + np.float32(spread) * random(num, dim, 40)
    queries = 1000 + np.float32(spread) * random(3, dim, 41)
    search, seqs = filled(vectors), list(range(1, num + 1))
    for wanted in (None, seqs[200:], seqs[::5]):
        assert_is_naive_on_any_threads(search, vectors, queries, 10, seqs, wanted)


@pytest.mark.usefixtures("all_threads")
@pytest.mark.parametrize("num", [1, 2, 15, 16, 17, 33])
def test_threads_share_any_number_of_rows(num: int) -> None:
    vectors, queries, seqs = random(num, 8, 38), random(2, 8, 39), list(range(1, num + 1))
    for wanted in (None, seqs[1:] or seqs, seqs[-1:]):
        assert_is_naive_on_any_threads(filled(vectors), vectors, queries, 5, seqs, wanted)


@pytest.mark.usefixtures("all_threads")
@pytest.mark.parametrize("offset", [-1e6, 30.0, 1e6])
def test_many_rows_at_any_distance_from_the_origin_are_searched_exactly(offset: float) -> None:
    vectors = np.float32(offset) + random(NUM_MANY, 128, 42)
    queries = np.float32(offset) + random(2, 128, 43)
    assert_is_naive_on_any_threads(filled(vectors), vectors, queries, 50, list(range(1, NUM_MANY + 1)), None)


@pytest.mark.usefixtures("all_threads")
def test_many_long_rows_far_from_the_origin_are_searched_exactly() -> None:
    vectors = random(NUM_MANY, 2560, 44)
    vectors *= np.float32(0.01)
    vectors += 1000
    queries = 1000 + np.float32(0.01) * random(2, 2560, 45)
    search, seqs = filled(vectors), list(range(1, NUM_MANY + 1))
    for wanted in (None, seqs[:5_500]):
        assert_is_naive_on_any_threads(search, vectors, queries, 10, seqs, wanted)


@pytest.mark.usefixtures("all_threads")
def test_the_views_of_one_vehicle_among_many_are_ranked_exactly() -> None:
    # Three branches of unit length each; four vehicles seen 300 times, whose embeddings differ by ever less.
    vectors = random(NUM_MANY, 2560, 46)
    vectors *= np.float32(3**0.5) / np.linalg.norm(vectors, axis=1, keepdims=True)
    places = np.random.default_rng(47).permutation(NUM_MANY)
    search, seqs, queries = ExactSearch(2560), list(range(1, NUM_MANY + 1)), []
    for vehicle, jitter in enumerate((1e-3, 3e-4, 1e-4, 3e-5)):
        first = vectors[places[300 * vehicle]].copy()
        views = places[300 * vehicle : 300 * (vehicle + 1)]
        vectors[views] = first * (1 + np.float32(jitter) * random(300, 2560, 50 + vehicle))
        queries.append(first * (1 + np.float32(jitter) * random(1, 2560, 60 + vehicle)[0]))
    search.add(vectors, seqs, [id_of(seq) for seq in seqs])
    search.settle()
    assert_is_naive_on_any_threads(search, vectors, np.array(queries), 10, seqs, None)
    assert_is_naive_on_any_threads(search, vectors, np.array(queries), 310, seqs, seqs[1:])


@pytest.mark.usefixtures("all_threads")
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_duplicates_among_many_rows_come_by_rising_id(offset: float) -> None:
    vectors = np.float32(offset) + np.tile(random(NUM_MANY // 40, 64, 48), (40, 1))
    search, seqs = filled(vectors), list(range(1, NUM_MANY + 1))
    queries = np.stack([vectors[7], np.float32(offset) + random(1, 64, 49)[0]])
    for top_k in (1, 25, 40, 95):
        assert_is_naive_on_any_threads(search, vectors, queries, top_k, seqs, None)
    assert_is_naive_on_any_threads(search, vectors, queries, 25, seqs, seqs[::3])


@pytest.mark.usefixtures("all_threads")
@pytest.mark.parametrize("num_left", [NUM_MANY, 5_001, 4_095])
def test_many_rows_are_searched_exactly_after_removals(num_left: int) -> None:
    num = NUM_MANY + 3000
    vectors, queries = 1000 + random(num, 64, 50), 1000 + random(3, 64, 51)
    search = filled(vectors)
    removed = np.random.default_rng(52).permutation(np.arange(1, num + 1))[: num - num_left].tolist()
    search.remove(removed)
    left = sorted(set(range(1, num + 1)) - set(removed))
    kept = vectors[np.array(left) - 1]
    assert_is_naive_on_any_threads(search, kept, queries, 10, left, None)
    assert_is_naive_on_any_threads(search, kept, queries, 10, left, list(range(1, num + 1, 2)))


@pytest.mark.parametrize("threads_share_it", [False, True])
def test_a_query_has_the_same_answer_in_a_batch_of_any_size(
    threads_share_it: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queries of all sorts: close to the rows, far away, equal to some of them, and with no bound at all."""
    if threads_share_it:
        monkeypatch.setattr(row_blocks, "_STRETCH_ROWS", 400)
    vectors = clustered(NUM_MANY, 130, 90)
    vectors[::40] = vectors[7]
    vectors[5::1000] *= np.float32(1e20)
    queries = np.concatenate(
        [
            clustered(120, 130, 90) + np.float32(0.01) * random(120, 130, 92), random(50, 130, 93),
            np.tile(vectors[7], (10, 1)), 1000 + random(10, 130, 94), np.float32(1e30) * random(5, 130, 95),
            np.float32(1e-30) * random(4, 130, 96), np.zeros((1, 130), np.float32),
        ]
    )[np.random.default_rng(97).permutation(200)]  # fmt: skip
    search, seqs = filled(vectors), list(range(1, NUM_MANY + 1))
    for wanted in (None, seqs[::7]):
        given = None if wanted is None else np.array(wanted)
        alone = [search.search(query, 12, given) for query in queries]
        candidates = vectors if wanted is None else vectors[::7]
        for found, query in list(zip(alone, queries, strict=True))[::10]:
            assert_is_naive(found, candidates, query, 12, wanted or seqs)
        for num in (2, 63, 64, 65, 200):
            together = search.search_batch(queries[:num], 12, given)
            for one, other in zip(alone, together, strict=False):
                assert one.seq.tolist() == other.seq.tolist()
                assert one.distance.tolist() == other.distance.tolist()
                assert one.searched == other.searched
            assert len(together) == num
    assert search.search_batch(np.empty((0, 130), np.float32), 12) == []


_PROGRAM: Final = """
import numpy as np
from tests.index.embedded.test_exact_answers import ExactSearch, id_of, random
vectors = 1000 + np.float32(0.01) * random(9000, 600, 80)
search = ExactSearch(600, num_threads={num_threads})
search.add(vectors, range(1, 9001), [id_of(seq) for seq in range(1, 9001)])
search.settle()
for found in search.search_batch(1000 + np.float32(0.01) * random(20, 600, 81), 10):
    print(found.seq.tolist(), [distance.hex() for distance in found.distance.tolist()])
search.close()
"""


def test_an_answer_has_the_same_bits_whatever_threads_the_libraries_have() -> None:
    """Matrix products differ with the number of threads, which BLAS and OpenMP read when they are loaded."""
    answers = []
    for num_threads in (1, 2, 7, 32):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = os.environ | dict.fromkeys(names, str(num_threads))
        command = [sys.executable, "-c", _PROGRAM.format(num_threads=num_threads)]
        process = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300)
        answers.append(process.stdout)
    assert len(answers[0].splitlines()) == 20
    assert answers == [answers[0]] * 4


def test_an_empty_index_finds_nothing() -> None:
    found = ExactSearch(4).search(np.zeros(4, np.float32), 10)
    assert (found.seq.tolist(), found.distance.tolist(), found.searched) == ([], [], 0)
    assert (len(ExactSearch(4)), ExactSearch(4).last_seq) == (0, 0)


@pytest.mark.parametrize("dim", [3, 2560])
@pytest.mark.parametrize("num", [10, 27, 300])
@pytest.mark.parametrize("offset", [0.0, 1.0], ids=["at the query", "away from it"])
def test_identical_vectors_come_by_rising_id(dim: int, num: int, offset: float) -> None:
    query = random(1, dim, 1)[0]
    vectors = np.tile(query + np.float32(offset), (num, 1))
    seqs = list(range(1, num + 1))
    search = filled(vectors)
    for top_k in (1, 10, num - 1):
        found = search.search(query, top_k)
        assert found.seq.tolist() == sorted(seqs, key=id_of)[:top_k]
        assert len(set(found.distance.tolist())) == 1


@pytest.mark.parametrize("chunk", [1, 2, 3, 127, 4096])
@pytest.mark.parametrize(("num", "dim"), [(4097, 512), (8193, 3), (257, 2560), (130, 6656), (400, 1), (5, 10_000)])
def test_equal_rows_have_one_distance_however_the_rows_are_chunked(
    num: int, dim: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    vector = random(1, dim, 70)[0]
    query = vector + np.float32(0.3) * random(1, dim, 71)[0]
    alone = filled(vector[None]).search(query, 1).distance[0]
    monkeypatch.setattr(row_block, "_CHUNK_OF_PAIRS", chunk)
    found = filled(np.tile(vector, (num, 1))).search(query, num)
    assert found.seq.tolist() == sorted(range(1, num + 1), key=id_of)
    assert set(found.distance.tolist()) == {alone}


@pytest.mark.parametrize("chunk", [1, 2, 63, 300])
def test_a_distance_does_not_depend_on_which_others_are_computed(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, query = random(300, 129, 72), random(1, 129, 73)[0]
    search = filled(vectors)
    together = search.search(query, 300)
    monkeypatch.setattr(row_block, "_CHUNK_OF_PAIRS", chunk)
    chunked = search.search(query, 300)
    assert chunked.seq.tolist() == together.seq.tolist()
    assert chunked.distance.tolist() == together.distance.tolist()
    for seq, distance in zip(together.seq, together.distance, strict=True):
        assert search.search(query, 1, np.array([seq])).distance[0] == distance


def test_a_tie_at_the_border_of_top_k_goes_to_the_lower_id() -> None:
    vectors = np.zeros((200, 2560), np.float32)
    vectors[:, 0] = np.repeat([1, 2, 3, 4], 50)
    search, seqs = filled(vectors), list(range(1, 201))
    for top_k in (49, 50, 51, 99, 125):
        found = search.search(np.zeros(2560, np.float32), top_k)
        expected, distances = naive(vectors, np.zeros(2560, np.float32), top_k, seqs)
        assert found.seq.tolist() == expected
        assert found.distance.tolist() == distances


@pytest.mark.parametrize("data", DATA)
def test_a_shorter_answer_is_the_beginning_of_a_longer_one_to_the_last_bit(
    data: Callable[[int, int, int], Vectors],
) -> None:
    search, query = filled(data(5000, 64, 6)), random(1, 64, 7)[0]
    everything = search.search(query, 5000)
    for top_k in (1, 2, 50, 1000, 4999):
        found = search.search(query, top_k)
        assert found.seq.tolist() == everything.seq[:top_k].tolist()
        assert found.distance.tolist() == everything.distance[:top_k].tolist()


@pytest.mark.parametrize("step", [1, 7, 150])
def test_how_many_rows_were_added_at_once_does_not_matter(step: int) -> None:
    vectors, query = near_duplicates(150, 2560, 8), random(1, 2560, 9)[0]
    at_once, stepwise = filled(vectors), ExactSearch(2560)
    for start in range(0, 150, step):
        seqs = list(range(start + 1, min(start + step, 150) + 1))
        stepwise.add(vectors[start : start + step], seqs, [id_of(seq) for seq in seqs])
    expected, found = at_once.search(query, 20), stepwise.search(query, 20)
    assert found.seq.tolist() == expected.seq.tolist()
    assert found.distance.tolist() == expected.distance.tolist()


@pytest.mark.parametrize(
    "wanted",
    [
        [],
        [222],
        [300],
        [5, 80, 81, 299],
        list(range(3, 300, 3)),
        list(range(1, 301)),
        [0, -4, 301, 10**12],
        [900, 17, 250, 0, 18],
        [40, 3, 299, 3, 40, 40, 1],
    ],
    ids=["none", "one", "the last", "few", "many", "all", "absent", "some absent", "unsorted and twice"],
)
@pytest.mark.parametrize("top_k", [1, 5, 400])
def test_a_filtered_search_is_a_full_scan_of_the_wanted_rows(wanted: list[int], top_k: int) -> None:
    vectors, query = clustered(300, 32, 10), random(1, 32, 11)[0]
    present = sorted({seq for seq in wanted if 1 <= seq <= 300})
    found = filled(vectors).search(query, top_k, np.array(wanted, np.int64))
    assert_is_naive(found, vectors[[seq - 1 for seq in present]], query, top_k, present)


def test_a_filter_by_seqs_with_gaps_finds_the_right_rows() -> None:
    vectors, query = random(200, 16, 12), random(1, 16, 13)[0]
    seqs = list(range(1000, 3000, 10))
    wanted = list(range(1005, 3000, 5))
    present = [seq for seq in seqs if seq in wanted]
    found = filled(vectors, seqs).search(query, 25, np.array(wanted, np.int64))
    assert_is_naive(found, vectors[[seqs.index(seq) for seq in present]], query, 25, present)


@pytest.mark.parametrize("top_k", [1, 60, 130, 300])
@pytest.mark.parametrize("num_small", [0, 1, 100, 299])
def test_distances_whose_squares_overflow_float32_are_exact_too(top_k: int, num_small: int) -> None:
    vectors = random(300, 8, 14) * np.float32(1e20)
    vectors[300 - num_small :] *= np.float32(1e-3)
    search, query = filled(vectors), np.zeros(8, np.float32)
    assert_is_naive(search.search(query, top_k), vectors, query, top_k, list(range(1, 301)))
    wanted = list(range(1, 301, 2))
    found = search.search(query, top_k, np.array(wanted, np.int64))
    assert_is_naive(found, vectors[::2], query, top_k, wanted)


def test_the_largest_float32_numbers_have_a_distance() -> None:
    largest = np.finfo(np.float32).max
    found = filled(np.array([[largest], [0.0], [-largest]], np.float32)).search(np.array([largest], np.float32), 3)
    assert found.seq.tolist() == [1, 2, 3]
    assert found.distance.tolist() == [0.0, float(largest), 2 * float(largest)]


def test_distances_whose_squares_underflow_float32_are_exact_too() -> None:
    vectors = np.full((41, 8), 3.2e-23, np.float32)
    vectors[40] = 2.7e-23
    query = np.zeros(8, np.float32)
    assert_is_naive(filled(vectors).search(query, 1), vectors, query, 1, list(range(1, 42)))


@pytest.mark.parametrize("num_overflowing", [1, 200, 399])
def test_a_distance_that_just_fits_float32_and_one_that_does_not_are_told_apart(num_overflowing: int) -> None:
    # In float32 the square of the former is the largest number or infinite, by the kernel; they differ by 1e-6.
    fits = np.float32(np.sqrt(np.finfo(np.float32).max))
    vectors = np.full((400, 1), fits, np.float32)
    vectors[:num_overflowing] = np.nextafter(fits, np.float32(np.inf), dtype=np.float32)
    query, seqs = np.zeros(1, np.float32), list(range(1, 401))
    for top_k in (1, 400 - num_overflowing, 400 - num_overflowing + 1):
        assert_is_naive(filled(vectors).search(query, top_k), vectors, query, top_k, seqs)


@pytest.mark.parametrize("removed", [[1], [300], [150, 1, 300, 150], list(range(2, 301, 2)), [0, 301, 5]])
def test_removed_rows_are_gone_and_the_others_stay(removed: list[int]) -> None:
    vectors, query = random(300, 24, 15), random(1, 24, 16)[0]
    search = filled(vectors)
    search.remove(removed)
    left = [seq for seq in range(1, 301) if seq not in removed]
    assert (len(search), search.last_seq) == (len(left), 300)
    for top_k in (10, 400):
        assert_is_naive(search.search(query, top_k), vectors[[seq - 1 for seq in left]], query, top_k, left)


def test_rows_added_after_a_removal_are_found() -> None:
    vectors, query = random(120, 24, 17), random(1, 24, 18)[0]
    search = filled(vectors[:100])
    search.remove(list(range(50, 101)))
    search.add(vectors[100:], list(range(101, 121)), [id_of(seq) for seq in range(101, 121)])
    left = [*range(1, 50), *range(101, 121)]
    assert_is_naive(search.search(query, 30), vectors[[seq - 1 for seq in left]], query, 30, left)


def test_everything_can_be_removed_and_added_again() -> None:
    vectors, query = random(30, 4, 19), random(1, 4, 20)[0]
    search = filled(vectors)
    search.remove(list(range(1, 31)))
    assert (len(search), search.last_seq, search.search(query, 5).searched) == (0, 30, 0)
    search.add(vectors, list(range(31, 61)), [id_of(seq) for seq in range(31, 61)])
    assert_is_naive(search.search(query, 5), vectors, query, 5, list(range(31, 61)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_query_that_is_not_finite_is_refused(value: float) -> None:
    query = np.array([0, value], np.float32)
    with pytest.raises(ValueError, match="query is not finite"):
        filled(random(3, 2, 1)).search(query, 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_embedding_that_is_not_finite_is_refused_and_nothing_is_added(value: float) -> None:
    search = filled(random(3, 2, 1))
    with pytest.raises(ValueError, match="an embedding is not finite"):
        search.add(np.array([[0, 0], [0, value]], np.float32), [4, 5], [id_of(4), id_of(5)])
    assert (len(search), search.last_seq) == (3, 3)
    assert search.search(np.zeros(2, np.float32), 9).searched == 3


@pytest.mark.parametrize("seqs", [[3, 4], [2, 4], [5, 5], [6, 5], [0, 4], [-1, 4]])
def test_seqs_that_do_not_rise_are_refused_and_nothing_is_added(seqs: list[int]) -> None:
    search = filled(random(3, 2, 1))
    with pytest.raises(ValueError, match="seqs must rise"):
        search.add(random(2, 2, 2), seqs, [id_of(seq) for seq in seqs])
    assert (len(search), search.last_seq) == (3, 3)


def test_adding_no_rows_changes_nothing() -> None:
    search = filled(random(3, 2, 1))
    search.add(np.empty((0, 2), np.float32), [], [])
    assert (len(search), search.last_seq) == (3, 3)


def test_every_answer_during_changes_is_valid() -> None:
    # Even seqs stay; odd ones come and go. All vectors lie around the origin, so that odd ones are often the nearest.
    num, dim, top_k = 400, 16, 10
    vectors = random(2 * num + 1, dim, 21)
    lasting = list(range(2, 2 * num + 1, 2))
    search = filled(vectors[lasting], lasting)
    done = threading.Event()

    def change() -> None:
        for start in range(2 * num + 1, 2 * num + 1 + 600 * 20, 20):
            seqs = list(range(start, start + 20))
            search.add(vectors[[seq % (2 * num + 1) for seq in seqs]], seqs, [id_of(seq) for seq in seqs])
            search.remove(seqs if start % 3 else seqs[::-1])
        done.set()

    def check(seed: int) -> int:
        query, answers = random(1, dim, seed)[0], 0
        everything = np.array(lasting) if seed % 2 else None
        expected = naive(vectors[lasting], query, top_k, lasting)
        while not done.is_set() or not answers:
            found = search.search(query, top_k, everything)
            found_seqs = found.seq.tolist()
            rows = vectors[[seq % (2 * num + 1) if seq > 2 * num else seq for seq in found_seqs]]
            assert found_seqs == naive(rows, query, top_k, found_seqs)[0]
            assert len(set(found_seqs)) == top_k
            np.testing.assert_allclose(found.distance, naive(rows, query, top_k, found_seqs)[1], rtol=1e-12)
            kept = [seq for seq in found_seqs if seq <= 2 * num]
            assert kept == expected[0][: len(kept)]
            # Passing rows repeat lasting ones: a twin at the last place may come first by its id.
            last = found.distance[-1] * (1 - 1e-12)
            nearer = [seq for seq, distance in zip(*expected, strict=True) if distance < last]
            assert set(nearer) <= set(kept)
            assert found.searched in ((num,) if everything is not None else (num, num + 20))
            answers += 1
        return answers

    with ThreadPoolExecutor(4) as pool:
        checks = [pool.submit(check, seed) for seed in (30, 31, 32)]
        changes = pool.submit(change)
        changes.result()
        assert all(check.result() > 20 for check in checks)
    assert_is_naive(search.search(vectors[0], top_k), vectors[lasting], vectors[0], top_k, lasting)


# Small whole numbers: many exact ties, and distances that the oracle knows without rounding.
numbers = st.integers(-3, 3)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(data=st.data(), dim=st.integers(1, 4), num=st.integers(0, 90), top_k=st.integers(1, 100))
def test_any_small_gallery_is_searched_exactly(data: st.DataObject, dim: int, num: int, top_k: int) -> None:
    rows = data.draw(st.lists(st.lists(numbers, min_size=dim, max_size=dim), min_size=num, max_size=num))
    query = data.draw(st.lists(numbers, min_size=dim, max_size=dim))
    seqs = list(range(1, num + 1))
    removed = data.draw(st.sets(st.integers(0, num + 1)))
    wanted = data.draw(st.none() | st.lists(st.integers(0, num + 1)))

    search = ExactSearch(dim)
    search.add(np.array(rows, np.float32).reshape(num, dim), seqs, [id_of(seq) for seq in seqs])
    search.remove(list(removed))
    found = search.search(np.array(query, np.float32), top_k, None if wanted is None else np.array(wanted, np.int64))

    candidates = [seq for seq in seqs if seq not in removed and (wanted is None or seq in wanted)]
    squared = {seq: sum((a - b) ** 2 for a, b in zip(rows[seq - 1], query, strict=True)) for seq in candidates}
    expected = sorted(candidates, key=lambda seq: (squared[seq], id_of(seq)))[:top_k]
    assert found.seq.tolist() == expected
    assert found.distance.tolist() == [math.sqrt(squared[seq]) for seq in expected]
    assert found.searched == len(candidates)


def test_a_query_of_another_size_or_for_nothing_is_refused() -> None:
    search = filled(random(3, 2, 1))
    with pytest.raises(ValueError, match="not 2 numbers"):
        search.search(np.zeros(3, np.float32), 1)
    with pytest.raises(ValueError, match="top_k must be 1 or more, got 0"):
        search.search(np.zeros(2, np.float32), 0)
