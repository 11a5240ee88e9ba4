"""The queries of an evaluation, each with its true matches, as rows of the evaluated entries."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.ranking.evaluation import Evaluation, rows_of
from index.ranking.query_matches import NO_ROW


class RankedQuery(NamedTuple):
    """One query of one draw; rows are those of the task's `entries`.

    Attributes:
        draw: which of the draws of a protocol with chance, from 0.
        row: the query's.
        match_rows: (M,) int64, of its true matches, nearest first.
        match_ranks: (M,) int64, from 1.
        match_distances: (M,) float32.
        other_row: the nearest gallery image of another vehicle; `NO_ROW` if there is none.
        other_distance: its distance; infinite if there is none.
    """

    draw: int
    row: int
    match_rows: NDArray[np.int64]
    match_ranks: NDArray[np.int64]
    match_distances: NDArray[np.float32]
    other_row: int
    other_distance: float


def ranked_queries(evaluation: Evaluation) -> Iterator[RankedQuery]:
    """Draw by draw, the queries of an evaluation that kept its matches."""
    task = evaluation.task
    matches = iter(evaluation.matches)
    for number, draw in enumerate((task, *task.further_draws)):
        rows = rows_of(draw, task)
        query_rows, gallery_rows = rows[: len(draw.queries)], rows[len(draw.queries) :]
        for query_row in query_rows.tolist():
            found = next(matches)
            other = NO_ROW if found.wrong_row == NO_ROW else int(gallery_rows[found.wrong_row])
            yield RankedQuery(
                number, query_row, gallery_rows[found.row], found.rank, found.distance, other, found.wrong_distance
            )
