"""Do two views of a vehicle come out turned the same way, where their frames were not turned, and what if not?"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.datasets.task import Task
from model.theta import turn_of

_SAME_DEG: Final = 20.0
"""Turns that differ by no more count as the same; by no more from a half turn, as front taken for rear."""


def heading_agreement(
    task: Task, thetas: NDArray[np.float32], first_rank: NDArray[np.integer]
) -> dict[str, dict[str, float | None]] | None:
    """Each query beside the gallery's views of its vehicle, of which the one that is turned most alike counts.

    Where vehicles keep their heading from view to view, another turn is an error of the alignment; the others really
    turned.

    Args:
        task: one draw.
        thetas: (N, 2, 3) of its `entries`.
        first_rank: (Q,) of its queries' first true match.

    Returns:
        ``same``, ``opposite`` and ``other``: the ``share`` of queries, and their ``cmc1`` (None of none). Nothing where
        nothing is aligned.
    """
    turns = np.array([turn_of(theta).rotation_deg for theta in thetas])
    if not turns.any():
        return None
    num_queries = len(task.queries)
    galleries: dict[str, list[int]] = {}
    for row, entry in enumerate(task.gallery, num_queries):
        galleries.setdefault(entry.identity, []).append(row)
    apart = np.array(
        [
            np.abs((turns[galleries[query.identity]] - turns[row] + 180) % 360 - 180).min()
            for row, query in enumerate(task.queries)
        ]
    )
    groups = {"same": apart <= _SAME_DEG, "opposite": apart >= 180 - _SAME_DEG}
    groups["other"] = ~(groups["same"] | groups["opposite"])
    hits = first_rank == 1
    return {
        name: {"share": float(group.mean()), "cmc1": float(hits[group].mean()) if group.any() else None}
        for name, group in groups.items()
    }
