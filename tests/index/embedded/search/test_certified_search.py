from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from index.embedded.search import certified_search
from index.embedded.search.bounds import Bounds, Pairs
from index.embedded.search.certified_search import Queries, search_stretch
from index.embedded.search.folding import NUM_COARSE, NUM_FINE, Folding
from index.embedded.search.row_block import RowBlock
from index.embedded.search.stretch import Stretch
from tests.index.embedded.naive_neighbours import (
    KINDS,
    Vectors,
    assert_same,
    fields_of,
    gallery,
    ids_of,
    naive_neighbours,
)


@pytest.fixture(scope="module", autouse=True)
def _small_constants() -> Iterator[None]:
    """Constants with which galleries of some dozens of rows go all ways that large ones go."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {"_MARGIN": 1, "_GROUPS": 4, "_FIRST_ROWS": 16, "_FEW_PAIRS": 4}.items():
            patched.setattr(certified_search, name, value)
        yield


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which bounds were asked, of all rows of a stretch, of a few of its rows, or of pairs; of embeddings of 400."""
    asked: list[str] = []
    products, products_of = Bounds.products, Bounds.products_of
    names = {NUM_COARSE: "coarse", NUM_FINE: "fine", 400: "whole"}

    def noted(self: Bounds, queries: Vectors, rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        asked.append(f"{names[queries.shape[1]]} of {'all' if isinstance(rows, slice) else 'few'}")
        return products(self, queries, rows)

    def noted_of_pairs(self: Bounds, queries: Vectors, pairs: Pairs) -> NDArray[np.float32]:
        asked.append(f"{names[queries.shape[1]]} of pairs")
        return products_of(self, queries, pairs)

    monkeypatch.setattr(Bounds, "products", noted)
    monkeypatch.setattr(Bounds, "products_of", noted_of_pairs)
    return asked


def block_of(vectors: Vectors, learned_from: Vectors | None) -> RowBlock:
    folding = None if learned_from is None else Folding.of_sample(learned_from)
    block = RowBlock(vectors.shape[1], len(vectors), folding)
    seqs = np.arange(1, len(vectors) + 1)
    block.put(0, vectors, seqs, ids_of(seqs.tolist()), fields_of(seqs.tolist()))
    return block


def assert_exact(block: RowBlock, queries: Vectors, top_k: int, searched: NDArray[np.bool_], stretch_rows: int) -> None:
    asked = Queries(queries, top_k, [block])
    num_searched = 0
    for start in range(0, len(searched), stretch_rows):
        stop = min(start + stretch_rows, len(searched))
        num_searched += search_stretch(asked, Stretch(block, 0, start, stop, searched[start:stop]))
    rows = {row + 1: block.vectors[row] for row in np.flatnonzero(searched).tolist()}
    for found, query in zip(asked.nearest.neighbours(num_searched), queries, strict=True):
        assert_same(found, naive_neighbours(rows, query, top_k))


def queries_for(kind: str, vectors: Vectors, seed: int) -> Vectors:
    """Of the same kind, equal to a row, of another kind, the origin, the largest there are."""
    dim = vectors.shape[1]
    return np.concatenate(
        [
            gallery(kind, 2, dim, seed), vectors[seed % len(vectors)][None],
            gallery("noise", 1, dim, seed), gallery("mixed_scales", 1, dim, seed),
            np.zeros((1, dim), np.float32), np.full((1, dim), 3.4e38, np.float32),
        ]
    )  # fmt: skip


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("dim", [1, 5, 130])
@pytest.mark.parametrize("learned_from", [None, "same", "noise", "far"])
def test_galleries_of_all_kinds(kind: str, dim: int, learned_from: str | None) -> None:
    vectors = gallery(kind, 120, dim, seed=0)
    sample = (
        None if learned_from is None else gallery(kind if learned_from == "same" else learned_from, 60, dim, seed=1)
    )
    block = block_of(vectors, sample)
    everything, rng = np.ones(120, np.bool_), np.random.default_rng(0)
    for top_k, searched, stretch_rows in [
        (1, everything, 120), (5, everything, 50), (119, everything, 1000), (500, everything, 7),
        (3, rng.random(120) < 0.6, 64), (4, rng.random(120) < 0.15, 64), (2, ~everything, 64),
        (1, rng.random(120) < 0.02, 120),
    ]:  # fmt: skip
        queries = queries_for(kind, vectors, seed=top_k)
        assert_exact(block, queries, top_k, searched, stretch_rows)
        if top_k == 5:
            assert_exact(block, queries[:1], top_k, searched, stretch_rows)


def exact_by_chance(learned: str, kind: str, dim: int, top_k: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = gallery(kind, int(rng.integers(1, 150)), dim, seed)
    few = gallery(learned, int(rng.integers(1, 20)), dim, seed + 1)
    mixed = np.concatenate([vectors, few])[rng.permutation(len(vectors) + len(few))]
    block = block_of(mixed, gallery(learned, int(rng.integers(1, 40)), dim, seed + 2))
    searched = rng.random(len(mixed)) < share
    queries = rng.permutation(np.concatenate([queries_for(kind, mixed, seed), queries_for(learned, mixed, seed + 3)]))
    assert_exact(block, queries[: int(rng.integers(1, 15))], top_k, searched, int(rng.integers(1, 160)))


kinds = st.sampled_from(sorted(KINDS))
drawn = given(
    kinds, kinds, st.integers(1, 12) | st.sampled_from([111, 112, 113, 140]), st.integers(1, 30),
    st.sampled_from([1.0, 0.7, 0.1]), st.integers(0, 2**32 - 1),
)  # fmt: skip


@settings(derandomize=True, max_examples=100, deadline=None)
@drawn
def test_any_gallery_with_the_folding_of_any_other(
    learned: str, kind: str, dim: int, top_k: int, share: float, seed: int
) -> None:
    exact_by_chance(learned, kind, dim, top_k, share, seed)


@pytest.mark.trial
@settings(max_examples=10_000, deadline=None, database=None)
@drawn
def test_any_gallery_with_the_folding_of_any_other_in_a_long_run(
    learned: str, kind: str, dim: int, top_k: int, share: float, seed: int
) -> None:
    exact_by_chance(learned, kind, dim, top_k, share, seed)


@pytest.mark.parametrize("top_k", [5, 30, 150, 200])
def test_rows_too_large_for_bounds_among_small_ones(top_k: int) -> None:
    """Their products with a large query overflow to infinity, of either sign, or are no number."""
    small, large = gallery("noise", 20, 8, seed=0), gallery("huge", 180, 8, seed=1)
    block = block_of(np.concatenate([small, large]), small)
    queries = np.float32(1e10) * gallery("noise", 5, 8, seed=2)
    for rows_of_stretch in (200, 40):
        assert_exact(block, queries, top_k, np.ones(200, np.bool_), rows_of_stretch)


@pytest.mark.parametrize("num_queries", [1, 10])
def test_clusters_go_through_the_fine_bounds_of_pairs(num_queries: int, ways: list[str]) -> None:
    vectors = gallery("clusters", 400, 400, seed=0)
    assert_exact(block_of(vectors, vectors), vectors[:num_queries], 3, np.ones(400, np.bool_), 400)
    assert ways == ["coarse of all", "coarse of all", "fine of pairs"]


def test_where_coarse_bounds_leave_much_the_fine_ones_of_all_are_quicker(ways: list[str]) -> None:
    """Coarse numbers tell four kinds of rows apart, fine ones every single row."""
    vectors = gallery("noise", 400, 400, seed=0)
    vectors[:, :112] = 100 * np.eye(112, dtype=np.float32)[np.arange(400) % 4]
    num_folded = NUM_COARSE + NUM_FINE
    vectors[:, num_folded:] *= np.float32(0.01)
    block = RowBlock(400, 400, Folding(np.zeros(400), np.eye(400)[:, :num_folded]))
    seqs = np.arange(1, 401)
    block.put(0, vectors, seqs, ids_of(seqs.tolist()), fields_of(seqs.tolist()))
    queries = vectors[:30] + np.float32(0.01) * gallery("noise", 30, 400, seed=1)
    assert_exact(block, queries, 1, np.ones(400, np.bool_), 400)
    assert ways == ["coarse of all", "coarse of all", "fine of all"]


def test_noise_in_many_dimensions_goes_through_the_whole_embeddings(ways: list[str]) -> None:
    vectors = gallery("noise", 400, 400, seed=0)
    block = block_of(vectors, gallery("noise", 400, 400, seed=1))
    assert_exact(block, gallery("noise", 20, 400, seed=2), 3, np.ones(400, np.bool_), 400)
    assert ways == ["coarse of all", "whole of all"]


def test_of_few_rows_only_theirs_are_read(ways: list[str]) -> None:
    vectors = gallery("noise", 400, 400, seed=0)
    searched = np.arange(400) % 5 == 0
    queries = gallery("noise", 20, 400, seed=2)
    assert_exact(block_of(vectors, gallery("noise", 400, 400, seed=1)), queries, 3, searched, 400)
    assert ways == ["coarse of few", "whole of few"]
    ways.clear()
    assert_exact(block_of(vectors, None), queries, 3, searched, 400)
    assert ways == ["whole of few"]


@pytest.mark.parametrize("learned_from", [None, "noise", "clusters"])
@pytest.mark.parametrize("num_queries", [1, 2, 11, 12, 13, 40])
def test_one_query_without_a_limit_among_others(learned_from: str | None, num_queries: int) -> None:
    """One query is too large for bounds: all rows stay for it, and nothing is left out for the others."""
    vectors = gallery("clusters", 150, 130, seed=0)
    block = block_of(vectors, None if learned_from is None else gallery(learned_from, 200, 130, seed=1))
    queries = np.concatenate([gallery("clusters", num_queries, 130, seed=2), gallery("largest", 1, 130, seed=3)])
    for top_k in (1, 4, 149, 150, 151, 10**9):
        for stretch_rows in (150, 40):
            assert_exact(block, queries, top_k, np.ones(150, np.bool_), stretch_rows)


@pytest.mark.parametrize("num_queries", [1, 30])
@pytest.mark.parametrize("learned_from", [None, "noise", "clusters"])
def test_rows_of_one_distance_around_the_last_one(learned_from: str | None, num_queries: int) -> None:
    """The id decides among more of them than are wanted, wherever they are found."""
    rng = np.random.default_rng(0)
    numbers = rng.integers(-1, 2, (200, 130)) * 0.0
    numbers[np.arange(200), rng.integers(0, 130, 200)] = rng.choice([-1.0, 1.0], 200)  # all at a distance of 1
    numbers[rng.permutation(200)[:20]] *= 0.5
    vectors = numbers.astype(np.float32)
    block = block_of(vectors, None if learned_from is None else gallery(learned_from, 200, 130, seed=1))
    queries = np.zeros((num_queries, 130), np.float32)
    for top_k in (1, 19, 20, 21, 100):
        for stretch_rows in (200, 33):
            assert_exact(block, queries, top_k, np.ones(200, np.bool_), stretch_rows)


@pytest.mark.parametrize("num_rows", [1, 7, 8, 9, 60, 61, 64, 1000])
@pytest.mark.parametrize("num_queries", [1, 3])
@pytest.mark.parametrize("num_wanted", [1, 2, 8, 90])
def test_the_likeliest_are_different_rows_and_the_least_is_among_them(
    num_rows: int, num_queries: int, num_wanted: int
) -> None:
    rng = np.random.default_rng(num_rows)
    products = rng.normal(size=(num_rows, num_queries)).astype(np.float32)
    products[rng.random(products.shape) < 0.2] = np.inf
    row, query = np.divmod(certified_search._likeliest(products, num_wanted), num_queries)
    for number in range(num_queries):
        rows = row[query == number]
        assert len(rows) == len(set(rows.tolist())) == min(num_wanted, num_rows)
        in_groups = products[: num_rows - num_rows % max(1, num_rows // (4 * num_wanted)), number]
        assert products[rows, number].min() == in_groups.min()


def test_of_what_is_not_searched_nothing_is_read(ways: list[str]) -> None:
    vectors = gallery("noise", 40, 9, seed=0)
    assert_exact(block_of(vectors, vectors), vectors[:2], 3, np.zeros(40, np.bool_), 40)
    assert ways == []


def test_bounds_spare_most_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    """That answers are right says not that anything was ruled out: this does."""
    num_offered = 0
    squared_distances = RowBlock.squared_distances

    def counted(self: RowBlock, queries: Vectors, pairs: Pairs) -> NDArray[np.float32]:
        nonlocal num_offered
        num_offered += len(pairs.row)
        return squared_distances(self, queries, pairs)

    monkeypatch.setattr(RowBlock, "squared_distances", counted)
    vectors = gallery("clusters", 700, 90, seed=0)
    for block in (block_of(vectors, vectors), block_of(vectors, None)):
        assert_exact(block, vectors[:10], 3, np.ones(700, np.bool_), 700)
    assert num_offered < 0.1 * 2 * 10 * 700
