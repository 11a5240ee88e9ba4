"""Embeddings as Milvus compares them: so large that a float32 sum of their squares overflows, they are made smaller."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

LARGEST_NORM: Final = 1e18
"""Of what Milvus keeps: four times its square is far below the largest float32."""

LARGEST_QUERY: Final = LARGEST_NORM / 4
"""Norm of queries that Milvus is asked for."""


def scaled(vector: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """A vector (D,) divided by 2^exponent, and the exponent: 0 unless its norm is above `LARGEST_NORM`.

    What was made smaller has a norm of about a half of `LARGEST_NORM` or more. It is no farther than the vector itself
    from a query whose norm is at most `LARGEST_QUERY`: who looks for what is near finds it no later.
    """
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    if norm <= LARGEST_NORM:
        return vector, 0
    exponent = int(np.ceil(np.log2(norm / LARGEST_NORM)))
    return np.ldexp(vector, -exponent), exponent


def unscaled(vectors: NDArray[np.float32], exponents: NDArray[np.int64]) -> NDArray[np.float32]:
    """The vectors (N, D) as they were, but for numbers below 2^-180 times the norm of one that was made smaller."""
    return vectors if not exponents.any() else np.ldexp(vectors, exponents[:, None].astype(np.int32))
