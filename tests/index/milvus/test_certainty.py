from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from index.milvus.certainty import is_certain
from tests.index.embedded.naive_neighbours import KINDS, gallery

Vectors = NDArray[np.float32]

SMALL_KINDS: Final = [kind for kind in KINDS if kind not in ("huge", "largest", "outlier", "mixed_scales")]


def direct(vectors: Vectors, query: Vectors) -> NDArray[np.float32]:
    squares: NDArray[np.float32] = np.square(vectors - query, dtype=np.float32).sum(axis=1, dtype=np.float32)
    return squares


def expanded(vectors: Vectors, query: Vectors) -> NDArray[np.float32]:
    squares: NDArray[np.float32] = np.square(vectors).sum(axis=1) - 2 * (vectors @ query) + np.square(query).sum()
    return squares


def one_by_one(vectors: Vectors, query: Vectors) -> NDArray[np.float32]:
    """As an engine that adds up from the last number to the first, and takes the root."""
    squares = np.zeros(len(vectors), np.float32)
    for column in range(vectors.shape[1])[::-1]:
        squares += np.square(vectors[:, column] - query[column])
    return np.sqrt(squares)


@pytest.mark.parametrize("engine", [direct, expanded, one_by_one])
@pytest.mark.parametrize("kind", SMALL_KINDS)
def test_a_certain_shortlist_holds_every_row_within_the_limit(kind: str, engine: Any) -> None:
    for seed in range(20):
        vectors = gallery(kind, 300, 24, seed)
        query = gallery(kind, 1, 24, seed + 1000)[0]
        true = np.sqrt(np.square(vectors.astype(np.float64) - query).sum(axis=1))
        found = np.argsort(engine(vectors, query), kind="stable")
        for num in (20, 60, 200):
            limit = float(np.sort(true[found[:num]])[9])
            if is_certain(query, vectors[found[:num]], limit, "FLAT"):
                assert set(np.flatnonzero(true <= limit)) <= set(found[:num].tolist())


@pytest.mark.parametrize(
    ("kind", "is_ever"),
    [("noise", True), ("clusters", True), ("far", False), ("very_far", False), ("constant", False)],
)
def test_it_is_certain_where_float32_can_tell_rows_apart(kind: str, is_ever: bool) -> None:
    vectors, query = gallery(kind, 300, 24, 1), gallery(kind, 1, 24, 1001)[0]
    true = np.sqrt(np.square(vectors.astype(np.float64) - query).sum(axis=1))
    found = np.argsort(true)
    assert is_certain(query, vectors[found[:200]], float(true[found[9]]), "FLAT") == is_ever
    assert not is_certain(query, vectors[found[:10]], float(true[found[9]]), "FLAT")


def test_a_gpu_is_trusted_less() -> None:
    query = np.array([1, 0], np.float32)
    # Between the eighth part of what a GPU's sum may err by and the whole.
    vectors = np.array([[2, 0], [2 + 4e-5, 0]], np.float32)
    assert is_certain(query, vectors, 1.0, "FLAT")
    assert not is_certain(query, vectors, 1.0, "GPU_BRUTE_FORCE")


def test_nothing_found_is_nothing_certain() -> None:
    assert not is_certain(np.ones(3, np.float32), np.empty((0, 3), np.float32), 1.0, "FLAT")
