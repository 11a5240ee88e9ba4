import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from index.embedded.search.folding import NUM_COARSE, NUM_FINE, Folding
from tests.index.embedded.naive_neighbours import KINDS, gallery

# What is beyond float32's range once it is folded has no bound (`Bounds`); all others are measured here.
MEASURED = sorted(KINDS.keys() - {"largest"})


def distances(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = vectors.astype(np.float64)
    result: NDArray[np.float64] = np.linalg.norm(wide[:, None] - wide, axis=2)
    return result


def assert_no_longer(folding: Folding, vectors: NDArray[np.float32], centre: NDArray[np.float64]) -> None:
    """Folded distances exceed the true ones by no more than `relative_error` of the two norms allows."""
    norms = np.linalg.norm(vectors - centre, axis=1)
    assert np.allclose(folding.norms(vectors), norms, rtol=1e-12, atol=0)
    coarse, fine = folding.fold(vectors)
    for folded in (coarse, np.concatenate([coarse, fine], axis=1)):
        # float32 loses what is below its smallest number; `AskedVectors` allows for that.
        allowed = folding.relative_error * (norms[:, None] + norms) + 1e-44 * np.sqrt(folded.shape[1])
        assert (distances(folded) <= distances(vectors) * (1 + 1e-12) + allowed).all()


@pytest.mark.parametrize("kind", MEASURED)
@pytest.mark.parametrize(("num_sample", "dim"), [(50, 1), (50, 3), (40, 90), (1, 70)])
def test_folded_distances_do_not_exceed_true_ones(kind: str, num_sample: int, dim: int) -> None:
    sample = gallery(kind, num_sample, dim, seed=1)
    folding = Folding.of_sample(sample)
    centre = sample.mean(axis=0, dtype=np.float64)
    assert_no_longer(folding, gallery(kind, 30, dim, seed=2), centre)
    # What a gallery becomes need not be like what it was.
    assert_no_longer(folding, np.concatenate([sample[:5], gallery("noise", 20, dim, seed=3)]), centre)


@pytest.mark.parametrize(("kind", "num_sample"), [("noise", 500), ("low_rank", 500), ("clusters", 5), ("outlier", 90)])
def test_nor_where_some_directions_are_left_out(kind: str, num_sample: int) -> None:
    sample = gallery(kind, num_sample, 500, seed=1)
    folding = Folding.of_sample(sample)
    assert (folding.num_coarse, folding.num_fine) == (NUM_COARSE, NUM_FINE)
    assert_no_longer(folding, gallery(kind, 20, 500, seed=2), sample.mean(axis=0, dtype=np.float64))


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.sampled_from(MEASURED), st.sampled_from(MEASURED), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_whatever_a_folding_was_learned_from(learned: str, folded: str, dim: int, seed: int) -> None:
    sample = gallery(learned, 20, dim, seed)
    folding = Folding.of_sample(sample)
    assert_no_longer(folding, gallery(folded, 20, dim, seed + 1), sample.mean(axis=0, dtype=np.float64))


@pytest.mark.parametrize("dim", [10, 112, 113, 200])
def test_folded_distances_are_true_ones_where_nothing_is_left_out(dim: int) -> None:
    vectors = gallery("noise", 300, dim, seed=0)
    coarse, fine = Folding.of_sample(vectors).fold(vectors)
    assert coarse.shape[1] == min(dim, NUM_COARSE)
    assert fine.shape[1] == dim - coarse.shape[1]
    assert np.allclose(distances(np.concatenate([coarse, fine], axis=1)), distances(vectors), atol=1e-5)


def test_the_first_coordinates_hold_most_of_what_varies() -> None:
    vectors = gallery("low_rank", 100, 500, seed=0)
    coarse, fine = Folding.of_sample(vectors).fold(vectors)
    assert (coarse.shape, fine.shape) == ((100, NUM_COARSE), (100, NUM_FINE))
    spread = np.concatenate([coarse, fine], axis=1).astype(np.float64).var(axis=0)
    assert spread[:2].sum() > 0.99 * spread.sum()
    assert np.allclose(distances(coarse), distances(vectors), atol=0.1)


def test_a_vector_is_folded_alike_alone_and_among_many() -> None:
    vectors = gallery("noise", 2100, 120, seed=0)
    folding = Folding.of_sample(vectors)
    for among_many, alone in zip(folding.fold(vectors), folding.fold(vectors[1500:1501]), strict=True):
        assert np.allclose(among_many[1500], alone[0], rtol=1e-5, atol=1e-6)


def test_directions_that_are_not_orthonormal_are_allowed_for() -> None:
    directions = np.array([[1.0, 0.0], [1e-3, 1.0], [0.0, 0.0]])
    folding = Folding(np.zeros(3), directions)
    assert_no_longer(folding, gallery("noise", 50, 3, seed=0), np.zeros(3))
    assert folding.relative_error > 1e-3


def test_what_is_too_large_becomes_infinite_without_a_warning() -> None:
    vectors = np.full((2, 4), 3.4e38, np.float32)
    vectors[1] *= -1
    coarse, _ = Folding.of_sample(np.concatenate([vectors, vectors])).fold(vectors)
    assert np.isinf(coarse[:, 0]).all()
