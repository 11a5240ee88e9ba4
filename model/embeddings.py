"""What a network says of images, and what is no such thing."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class EmbeddingError(RuntimeError):
    """What runs the network cannot be had, or the network gave something that is no embedding (NaN or infinity).

    Never what a device raises: `torch.OutOfMemoryError` and the like pass through the embedder as they are.
    """


class Embeddings(NamedTuple):
    """Embeddings (N, D) float32 and the thetas (N, 2, 3) float32 that aligned them."""

    embedding: NDArray[np.float32]
    theta: NDArray[np.float32]


def largest_difference(expected: Embeddings, found: Embeddings) -> float:
    """Over images, of embeddings in their own lengths, and of thetas as they are.

    Infinite where shapes differ, and NaN where anything is.
    """
    if any(a.shape != b.shape for a, b in zip(expected, found, strict=True)):
        return float("inf")
    lengths = np.linalg.norm(expected.embedding, axis=1)
    of_embeddings = np.linalg.norm(expected.embedding - found.embedding, axis=1) / lengths
    # NumPy's maximum: what is not a number stays none, and is no small difference.
    return float(np.max([of_embeddings.max(), np.abs(expected.theta - found.theta).max()]))
