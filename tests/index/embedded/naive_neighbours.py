"""Exact search by its definition, and galleries of all kinds to try it on."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.gallery.fields import Fields
from index.gallery.vector_index import Neighbours

Vectors = NDArray[np.float32]


def id_of(seq: int) -> str:
    """An id whose order has nothing to do with that of the seqs."""
    return hashlib.sha256(str(seq).encode()).hexdigest()[:32]


def ids_of(seqs: Sequence[int]) -> NDArray[np.bytes_]:
    """The ids of some seqs, as blocks keep them."""
    return np.array([id_of(seq) for seq in seqs], "S32")


def fields_of(seqs: Sequence[int]) -> list[Fields]:
    """Fields for some seqs: a third of the rows have each identity."""
    return [Fields(identity=f"vehicle {seq % 3}") for seq in seqs]


def naive_neighbours(rows: Mapping[int, Vectors], query: Vectors, top_k: int) -> Neighbours:
    """The `top_k` of all rows (seq: embedding) by (distance, id), in float64."""
    seqs = np.array(sorted(rows), np.int64)
    if not len(seqs):
        return Neighbours(seqs, np.empty(0), 0)
    vectors = np.stack([rows[seq] for seq in seqs.tolist()])
    distances = np.sqrt(np.sum((vectors.astype(np.float64) - query) ** 2, axis=1))
    order = np.lexsort((ids_of(seqs.tolist()), distances))[:top_k]
    return Neighbours(seqs[order], distances[order], len(seqs))


def same(found: Neighbours, expected: Neighbours) -> bool:
    """Whether two answers are the same to the last bit."""
    return (
        found.searched == expected.searched
        and np.array_equal(found.seq, expected.seq)
        and np.array_equal(found.distance, expected.distance)
    )


def assert_same(found: Neighbours, expected: Neighbours) -> None:
    assert found.searched == expected.searched
    assert found.seq.tolist() == expected.seq.tolist()
    assert found.distance.tolist() == expected.distance.tolist()


def _noise(num: int, dim: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.normal(size=(num, dim))


def _clusters(num: int, dim: int, rng: np.random.Generator) -> NDArray[np.float64]:
    centres = np.random.default_rng(5).normal(size=(7, dim)) * 10
    return centres[rng.integers(0, 7, num)] + rng.normal(size=(num, dim)) * 0.1


def _low_rank(num: int, dim: int, rng: np.random.Generator) -> NDArray[np.float64]:
    directions = np.random.default_rng(6).normal(size=(2, dim))
    return rng.normal(size=(num, 2)) @ directions + rng.normal(size=(num, dim)) * 1e-3


def _outlier(num: int, dim: int, rng: np.random.Generator) -> NDArray[np.float64]:
    vectors = rng.normal(size=(num, dim))
    vectors[rng.integers(num)] *= 1e12
    return vectors


def _mixed_scales(num: int, dim: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.choice([-1.0, 1.0], (num, dim)) * 10.0 ** rng.uniform(-44, 38, (num, 1))


def _grid(num: int, dim: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.integers(-2, 3, (num, dim)).astype(np.float64)


KINDS: Final[dict[str, Callable[[int, int, np.random.Generator], NDArray[np.floating]]]] = {
    "noise": _noise,
    "clusters": _clusters,
    "low_rank": _low_rank,
    "constant": lambda num, dim, rng: np.full((num, dim), 0.1),
    "grid": _grid,  # many distances are the same
    "signed_zeros": lambda num, dim, rng: np.copysign(0.0, rng.normal(size=(num, dim))),
    "far": lambda num, dim, rng: 1e4 + _noise(num, dim, rng),
    "very_far": lambda num, dim, rng: 1e8 + 8 * _grid(num, dim, rng),  # 8: the next float32
    "outlier": _outlier,
    "huge": lambda num, dim, rng: 1e30 * _noise(num, dim, rng),
    "largest": lambda num, dim, rng: 3.4e38 * rng.choice([-1.0, 1.0], (num, dim)),
    "near_the_largest_bound": lambda num, dim, rng: 1e18 * rng.uniform(-1.5, 1.5, (num, dim)),
    "tiny": lambda num, dim, rng: 1e-20 * _noise(num, dim, rng),  # their squares are lost in float32
    "denormal": lambda num, dim, rng: 1.4e-45 * rng.integers(-4, 5, (num, dim)),
    "mixed_scales": _mixed_scales,
}


def gallery(kind: str, num: int, dim: int, seed: int) -> Vectors:
    """Embeddings (num, dim) of one of `KINDS`; every fifth one repeats an earlier one."""
    rng = np.random.default_rng(seed)
    vectors = KINDS[kind](num, dim, rng).astype(np.float32)
    vectors[4::5] = vectors[rng.integers(0, num, len(vectors[4::5]))]
    return vectors
