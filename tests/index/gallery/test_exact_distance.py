import math

import numpy as np
import pytest

from index.gallery.exact_distance import exact_distances
from tests.index.embedded.naive_neighbours import KINDS, gallery


@pytest.mark.parametrize("kind", KINDS)
def test_distances_are_those_of_each_pair_alone(kind: str) -> None:
    vectors, queries = gallery(kind, 70, 300, seed=1), gallery(kind, 70, 300, seed=2)
    found = exact_distances(vectors, queries)
    for vector, query, distance in zip(vectors, queries, found, strict=True):
        alone = exact_distances(vector[None], query)
        assert alone.tolist() == [distance]
        assert distance == pytest.approx(math.dist(vector.tolist(), query.tolist()), rel=1e-12)
    assert exact_distances(vectors[:5], queries[0]).tolist() == [
        float(exact_distances(vector[None], queries[0])[0]) for vector in vectors[:5]
    ]


def test_nothing_has_no_distances() -> None:
    assert exact_distances(np.empty((0, 4), np.float32), np.ones(4, np.float32)).tolist() == []
