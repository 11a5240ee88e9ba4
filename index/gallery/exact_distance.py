"""The Euclidean distance that has the last word: in float64, from the float32 numbers that are stored."""

import numpy as np
from numpy.typing import NDArray


def exact_distances(vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.float64]:
    """Between vectors (P, D) and queries (P, D) or (D,), pair by pair (P,); none depends on which others are asked."""
    differences = np.subtract(vectors, queries, dtype=np.float64)
    # Sums each pair by itself, in one order; einsum's order depends on how many there are.
    distances: NDArray[np.float64] = np.sqrt(np.square(differences, out=differences).sum(axis=1))
    return distances
