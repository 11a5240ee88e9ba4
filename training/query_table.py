"""A table of an evaluation's queries: how far down the first true match is, and which vehicle was taken for it."""

import csv
from pathlib import Path
from typing import Final

import numpy as np

from index.datasets.manifest import Entry
from index.ranking.evaluation import Evaluation
from index.ranking.query_matches import NO_ROW
from training.ranked_queries import RankedQuery, ranked_queries

COLUMNS: Final = (
    "query", "box", "identity", "draw", "rank", "distance", "match", "other_identity", "other_distance", "other"
)  # fmt: skip


def write_query_table(path: Path, evaluation: Evaluation) -> None:
    """Writes one line per query: its first true match's rank, distance and path, and the nearest other vehicle.

    Args:
        path: of the CSV in UTF-8; `model.whole_file.whole_file` gives one that may be interrupted.
        evaluation: one that kept its matches.
    """
    entries = evaluation.task.entries
    # Names that are not UTF-8 stay the bytes that they are.
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        # Texts are quoted: a lone carriage return would otherwise end its line.
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(COLUMNS)
        writer.writerows(_values(query, entries) for query in ranked_queries(evaluation))


def _values(query: RankedQuery, entries: tuple[Entry, ...]) -> tuple[str | int | float, ...]:
    asked, match = entries[query.row], entries[query.match_rows[0]]
    box = "" if asked.box is None else str(asked.box)
    first = int(query.match_ranks[0]), _shortest(query.match_distances[0]), match.path
    if query.other_row == NO_ROW:
        return asked.path, box, asked.identity, query.draw, *first, "", "", ""
    other = entries[query.other_row]
    distance = _shortest(np.float32(query.other_distance))
    return asked.path, box, asked.identity, query.draw, *first, other.identity, distance, other.path


def _shortest(value: np.float32) -> float:
    """The float that is written with no more digits than single precision has."""
    return float(str(value))
