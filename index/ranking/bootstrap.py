"""Confidence intervals by the cluster bootstrap: whole identities are drawn anew.

Queries of one vehicle succeed and fail together, so that intervals over single queries would be too narrow. The gallery
is fixed: the intervals say how much the figures depend on which vehicles were looked for in it.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

NUM_RESAMPLES: Final = 1000
"""How often the identities are drawn anew."""

Interval = tuple[float, float]
"""The ends of a 95 % interval, (low, high)."""


def resampled_means(
    values: NDArray[np.floating | np.bool], identities: Sequence[str], seed: int = 0
) -> NDArray[np.float64]:
    """Means over the queries of as many identities as there are, drawn with replacement, `NUM_RESAMPLES` times.

    An identity brings all its queries. So a resample's mean is a ratio: the sum of the drawn identities' values over
    the number of their queries. The same identities and seed give the same draws, so that the differences of columns
    are those of a paired bootstrap. With one query per identity it is the bootstrap of queries.

    Args:
        values: (Q, F), F figures of each query.
        identities: Q names.
        seed: of the draws.

    Returns:
        (NUM_RESAMPLES, F).

    Raises:
        ValueError: there is no query, or not one identity for each.
    """
    if not len(values) or len(values) != len(identities):
        raise ValueError(f"expected an identity for each of one or more queries, got {len(identities)}, {len(values)}")
    numbers = {name: number for number, name in enumerate(dict.fromkeys(identities))}
    sums = np.zeros((len(numbers), values.shape[1]))
    counts = np.zeros(len(numbers), np.int64)
    of_query = [numbers[name] for name in identities]
    np.add.at(sums, of_query, values)
    np.add.at(counts, of_query, 1)
    rng = np.random.default_rng(seed)
    means = np.empty((NUM_RESAMPLES, values.shape[1]))
    for mean in means:
        chosen = rng.integers(len(numbers), size=len(numbers))
        mean[:] = sums[chosen].sum(axis=0) / counts[chosen].sum()
    return means


def interval(means: NDArray[np.float64]) -> Interval:
    """The 95 % percentile interval of resampled means (R,)."""
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
