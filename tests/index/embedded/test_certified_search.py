from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from index.embedded import certified_search
from index.embedded.bounds import Bounds
from index.embedded.certified_search import Queries, Stretch, search_stretch
from index.embedded.folding import Folding
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


@pytest.fixture(scope="module", autouse=True)
def _small_constants() -> Iterator[None]:
    """Constants with which galleries of some dozens of rows go all ways that large ones go."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {"_MARGIN": 1, "_FIRST_ROWS": 16, "_FEW_ROWS": 4, "_FIRST_STEP": 3}.items():
            patched.setattr(certified_search, name, value)
        yield


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often which bounds were asked, of slices or of few rows."""
    asked: dict[str, int] = {}
    products = Bounds.products

    def counted(self: Bounds, queries: NDArray[np.float32], rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        of = "whole" if self._relative_error == 0 else "folded"
        way = f"{of}, {'all' if isinstance(rows, slice) else 'few'}"
        asked[way] = asked.get(way, 0) + 1
        return products(self, queries, rows)

    by_bound = certified_search._offer_by_bound

    def counted_by_bound(*args: object) -> None:
        asked["fine"] = asked.get("fine", 0) + 1
        by_bound(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(Bounds, "products", counted)
    monkeypatch.setattr(certified_search, "_offer_by_bound", counted_by_bound)
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
    for nearest, query in zip(asked.nearest, queries, strict=True):
        assert_same(nearest.neighbours(num_searched), naive_neighbours(rows, query, top_k))


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
@pytest.mark.parametrize("dim", [1, 5, 90])
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
        assert_exact(block, queries_for(kind, vectors, seed=top_k), top_k, searched, stretch_rows)


def exact_by_chance(learned: str, kind: str, dim: int, top_k: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = gallery(kind, int(rng.integers(1, 150)), dim, seed)
    few = gallery(learned, int(rng.integers(1, 20)), dim, seed + 1)
    mixed = np.concatenate([vectors, few])[rng.permutation(len(vectors) + len(few))]
    block = block_of(mixed, gallery(learned, int(rng.integers(1, 40)), dim, seed + 2))
    searched = rng.random(len(mixed)) < share
    assert_exact(block, queries_for(kind, mixed, seed), top_k, searched, int(rng.integers(1, 160)))


kinds = st.sampled_from(sorted(KINDS))
drawn = given(
    kinds, kinds, st.integers(1, 12) | st.sampled_from([63, 64, 65]), st.integers(1, 30),
    st.sampled_from([1.0, 0.7, 0.1]), st.integers(0, 2**32 - 1),
)  # fmt: skip


@settings(derandomize=True, max_examples=150, deadline=None)
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


def test_clusters_go_through_the_fine_bounds(ways: dict[str, int]) -> None:
    vectors = gallery("clusters", 400, 90, seed=0)
    block = block_of(vectors, vectors)
    assert_exact(block, vectors[:20], 3, np.ones(400, np.bool_), 400)
    assert ways["folded, all"] == 1
    assert ways["fine"] > 10
    assert "whole, all" not in ways


def test_noise_in_many_dimensions_goes_through_the_whole_embeddings(ways: dict[str, int]) -> None:
    vectors = gallery("noise", 400, 400, seed=0)
    block = block_of(vectors, gallery("noise", 40, 400, seed=1))
    assert_exact(block, gallery("noise", 20, 400, seed=2), 3, np.ones(400, np.bool_), 400)
    assert ways == {"folded, all": 1, "whole, all": 1}


def test_of_few_rows_only_theirs_are_read(ways: dict[str, int]) -> None:
    vectors = gallery("noise", 400, 90, seed=0)
    searched = np.arange(400) % 5 == 0
    assert_exact(
        block_of(vectors, gallery("noise", 40, 90, seed=1)), gallery("noise", 20, 90, seed=2), 3, searched, 400
    )
    assert ways.keys() <= {"folded, few", "whole, few", "fine"}
    assert ways["folded, few"] >= 1
    ways.clear()
    assert_exact(block_of(vectors, None), gallery("noise", 20, 90, seed=2), 3, searched, 400)
    assert ways == {"whole, few": 1}


def test_of_what_is_not_searched_nothing_is_read(ways: dict[str, int]) -> None:
    vectors = gallery("noise", 40, 9, seed=0)
    assert_exact(block_of(vectors, vectors), vectors[:2], 3, np.zeros(40, np.bool_), 40)
    assert ways == {}


def test_bounds_spare_most_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    """That answers are right says not that anything was ruled out: this does."""
    num_offered = 0
    squared_distances = RowBlock.squared_distances

    def counted(self: RowBlock, query: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        nonlocal num_offered
        num_offered += len(rows)
        return squared_distances(self, query, rows)

    monkeypatch.setattr(RowBlock, "squared_distances", counted)
    vectors = gallery("clusters", 700, 90, seed=0)
    for block in (block_of(vectors, vectors), block_of(vectors, None)):
        assert_exact(block, vectors[:10], 3, np.ones(700, np.bool_), 700)
    assert num_offered < 0.1 * 2 * 10 * 700
