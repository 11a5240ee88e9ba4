"""Whether the rows that an engine found hold the nearest ones for sure, whatever it rounded away in float32."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.gallery.exact_distance import exact_distances

_UNIT: Final = 2.0**-24
_TINY: Final = float(np.finfo(np.float32).tiny)

# GPUs may multiply in three steps of a shorter format instead of one of float32's.
_UNITS_OF_INDEX: Final = {"FLAT": 1, "GPU_BRUTE_FORCE": 8}


def is_certain(query: NDArray[np.float32], vectors: NDArray[np.float32], limit: float, index_type: str) -> bool:
    """Whether no row that the engine left out lies within a distance of a query (D,).

    The engine has compared the query with all rows, by a squared distance d' in float32, and returned those with the
    smallest d'. A row that it left out has therefore no smaller d' than any that it returned; and d' errs by no more
    than `_rounding`. The proof needs only the order of what was returned, not the values of d'.

    Args:
        query: as the engine was asked.
        vectors: (N, D) that the engine compared and returned.
        limit: of rows that are wanted; what is just as far counts as within.
        index_type: which rounds.
    """
    units = _UNITS_OF_INDEX[index_type] * (len(query) + 10) * _UNIT
    norm = float(np.linalg.norm(query.astype(np.float64)))
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    # What d' of the last row that was returned is at least: it is the largest.
    squares = np.square(exact_distances(vectors, query))
    last = np.max(squares - _rounding(norms, norm, units), initial=-np.inf)
    # What d' of a row within the limit is at most; its norm is no larger than that of the query and the limit.
    within = limit**2 + _rounding(np.array([norm + limit]), norm, units)[0]
    return bool(within * (1 + 1e-12) < last)


def _rounding(norms: NDArray[np.float64], norm: float, units: float) -> NDArray[np.float64]:
    """What a squared distance in float32 between vectors of these norms (N,) and one of `norm` errs by, at most.

    A sum of D squared differences, and |z|^2 - 2 z q + |q|^2 likewise, errs in any order by at most D + 4 units of the
    sizes of its terms (Higham 2002, Sec. 3.1), which add up to (|z| + |q|)^2; a root that is taken of it adds two.
    Each term may be lost where it lies below the smallest normal number.
    """
    return 1.01 * units * np.square(norms + norm) + 2 * units / _UNIT * _TINY
