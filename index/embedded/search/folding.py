"""Folded vectors: a few numbers per embedding whose distances never exceed those of the embeddings.

They are the first coordinates of an embedding along the directions in which a gallery varies most, from its centre:
for orthonormal directions P and any a, b, |Pa - Pb| <= |a - b|.
"""

from typing import Final

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

NUM_COARSE: Final = 112
"""Coordinates that are looked at first: 4.4 % of an embedding of 2560."""
NUM_FINE: Final = 216
"""Coordinates that follow these: 8.4 % of an embedding of 2560."""

_FLOAT32_UNIT: Final = 2.0**-24
_FLOAT64_UNIT: Final = 2.0**-53
_CHUNK: Final = 1024  # rows in float64 at once: 20 MB at 2560 numbers each


def num_directions(dim: int) -> int:
    """Along so many directions vectors (N, `dim`) are folded."""
    return min(NUM_COARSE + NUM_FINE, dim)


class Folding:
    """A centre and orthonormal directions, the one along which a sample varies most first.

    Attributes:
        centre: (D,) float64.
        directions: (D, K) float64, orthonormal columns.
        num_coarse, num_fine: coordinates of the two parts of a folded vector, K together.
        relative_error: a folded vector, as computed, lies no further than this times |x - centre| from the true one.
    """

    def __init__(self, centre: NDArray[np.float64], directions: NDArray[np.float64]) -> None:
        self.centre, self.directions = centre, directions
        dim, num = directions.shape
        self.num_coarse = min(NUM_COARSE, num)
        self.num_fine = num - self.num_coarse
        # A product with a direction errs by D units of |x - centre|, K of them together by sqrt(K) times that (Higham
        # 2002, Sec. 3.1). What the directions lack of being orthonormal is measured, which errs by K D units itself. At
        # last all is rounded to float32.
        lack = float(np.linalg.norm(directions.T @ directions - np.eye(num)))
        self.relative_error = lack + 2 * num * (dim + num) * _FLOAT64_UNIT + 2 * _FLOAT32_UNIT

    @classmethod
    def of_sample(cls, sample: NDArray[np.float32]) -> "Folding":
        """The folding for vectors (N, D) like those of a sample."""
        centre = sample.mean(axis=0, dtype=np.float64)
        centred = sample - centre
        dim = sample.shape[1]
        num = num_directions(dim)
        _, directions = scipy.linalg.eigh(centred.T @ centred, subset_by_index=(dim - num, dim - 1))
        return cls(centre, np.ascontiguousarray(directions[:, ::-1]))

    def fold(self, vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vectors (N, D) -> their coordinates, coarse (N, num_coarse) and fine ones; infinite where too large."""
        coarse = np.empty((len(vectors), self.num_coarse), np.float32)
        fine = np.empty((len(vectors), self.num_fine), np.float32)
        for start in range(0, len(vectors), _CHUNK):
            rows = slice(start, start + _CHUNK)
            along = (vectors[rows] - self.centre) @ self.directions
            with np.errstate(over="ignore"):
                coarse[rows], fine[rows] = along[:, : self.num_coarse], along[:, self.num_coarse :]
        return coarse, fine

    def norms(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """How far vectors (N, D) are from the centre, (N,)."""
        norms: NDArray[np.float64] = np.linalg.norm(vectors - self.centre, axis=1)
        return norms
