import numpy as np
import pytest

from index.milvus.scaled_vector import LARGEST_NORM, LARGEST_QUERY, scaled, unscaled
from tests.index.embedded.naive_neighbours import KINDS, gallery


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_come_back_as_they_were(kind: str) -> None:
    vectors = gallery(kind, 60, 16, seed=1)
    both = [scaled(vector) for vector in vectors]
    kept = np.stack([vector for vector, _ in both])
    exponents = np.array([exponent for _, exponent in both])
    assert kept.dtype == np.float32
    assert np.linalg.norm(kept.astype(np.float64), axis=1).max() <= LARGEST_NORM * (1 + 1e-9)
    assert np.array_equal(unscaled(kept, exponents), vectors)
    is_small = np.linalg.norm(vectors.astype(np.float64), axis=1) <= LARGEST_NORM
    assert (exponents[is_small] == 0).all()
    assert (exponents[~is_small] > 0).all()


def test_what_was_made_smaller_is_no_farther_from_a_query() -> None:
    rng = np.random.default_rng(5)
    for vector in gallery("largest", 50, 16, seed=2):
        kept, exponent = scaled(vector)
        assert exponent > 60
        for direction in rng.normal(size=(20, 16)):
            query = direction / np.linalg.norm(direction) * LARGEST_QUERY
            near, far = (np.linalg.norm(one.astype(np.float64) - query) for one in (kept, vector))
            assert near <= far
