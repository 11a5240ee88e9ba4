"""Folded vectors: a few numbers per embedding whose distances never exceed those of the embeddings.

The first coordinates of an embedding along the directions in which a gallery varies most, and the norm of all that is
left out, as one more number. For orthonormal directions P and any a, b (Hwang, Han and Ahn 2012; triangle inequality):
|Pa - Pb|^2 + (|a - Pa| - |b - Pb|)^2 <= |a - b|^2.
"""

from typing import Final

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

NUM_COARSE: Final = 112
"""Numbers of a coarsely folded vector: 4.4 % of an embedding of 2560."""
NUM_FINE: Final = 240
"""Numbers of a finely folded vector: 9.4 % of an embedding of 2560."""

_FLOAT32_UNIT: Final = 2.0**-24
_FLOAT64_UNIT: Final = 2.0**-53
_CHUNK: Final = 1024  # rows in float64 at once: 20 MB at 2560 numbers each


class Folding:
    """A centre and orthonormal directions, the one along which a sample varies most first.

    Attributes:
        num_coarse, num_fine: numbers of a folded vector.
        relative_error: a folded vector, as computed, lies no further than this times |x - centre| from the true one.
    """

    def __init__(self, centre: NDArray[np.float64], directions: NDArray[np.float64]) -> None:
        """`directions` (D, K), orthonormal columns."""
        self._centre, self._directions = centre, directions
        self.num_fine = directions.shape[1] + 1
        self.num_coarse = min(NUM_COARSE, self.num_fine)
        # A product with a direction errs by D units of |x - centre|, K of them together by sqrt(K) times that, sums of
        # squares by about as many units of its square as they have terms (Higham 2002, Sec. 3.1). What the directions
        # lack of being orthonormal is measured, which errs by K D units itself. The norm of the rest is the root of a
        # difference of sums of squares: it errs by the root of all this. At last all is rounded to float32.
        dim, num = directions.shape
        lack = float(np.linalg.norm(directions.T @ directions - np.eye(num)))
        of_squares = 6 * num * (dim + num) * _FLOAT64_UNIT + 2 * lack
        self.relative_error = float(np.sqrt(of_squares) + lack + 2 * _FLOAT32_UNIT)

    @classmethod
    def of_sample(cls, sample: NDArray[np.float32]) -> "Folding":
        """The folding for vectors (N, D) like those of a sample."""
        centre = sample.mean(axis=0, dtype=np.float64)
        centred = sample - centre
        dim = sample.shape[1]
        num = min(NUM_FINE - 1, dim)
        _, directions = scipy.linalg.eigh(centred.T @ centred, subset_by_index=(dim - num, dim - 1))
        return cls(centre, np.ascontiguousarray(directions[:, ::-1]))

    def fold(self, vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vectors (N, D) -> coarsely (N, num_coarse) and finely (N, num_fine) folded; infinite where too large."""
        coarse = np.empty((len(vectors), self.num_coarse), np.float32)
        fine = np.empty((len(vectors), self.num_fine), np.float32)
        num, num_coarse = self.num_fine - 1, self.num_coarse - 1
        for start in range(0, len(vectors), _CHUNK):
            rows = slice(start, start + _CHUNK)
            centred = vectors[rows] - self._centre
            along = centred @ self._directions
            squares = np.square(along)
            rest = np.maximum(np.square(centred).sum(axis=1) - squares.sum(axis=1), 0)
            with np.errstate(over="ignore"):
                fine[rows, :num], fine[rows, num] = along, np.sqrt(rest)
                coarse[rows, :num_coarse] = along[:, :num_coarse]
                coarse[rows, num_coarse] = np.sqrt(rest + squares[:, num_coarse:].sum(axis=1))
        return coarse, fine
