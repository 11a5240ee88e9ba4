"""An evaluation as arrays: embeddings, thetas, and per query the ranks and distances of its true matches."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.datasets.bulk_embedding import EmbeddedEntries
from index.ranking.evaluation import Evaluation
from training.ranked_queries import ranked_queries


def write_evaluation_arrays(
    path: Path, evaluation: Evaluation, embedded: EmbeddedEntries, figures: Mapping[str, Any]
) -> None:
    """Writes what `evaluation_arrays` gives as an NPZ file, which ``numpy.load`` reads without unpickling anything.

    Args:
        path: of the file; `model.whole_file.whole_file` gives one that may be interrupted.
        evaluation: one that kept its matches.
        embedded: the evaluated task's entries.
        figures: what the evaluation says, JSON values.
    """
    # NumPy would append .npz to a path that does not end so.
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **evaluation_arrays(evaluation, embedded, figures))


def evaluation_arrays(
    evaluation: Evaluation, embedded: EmbeddedEntries, figures: Mapping[str, Any]
) -> dict[str, NDArray[Any]]:
    """The arrays of N entries, Q queries (of all draws) and T true matches, by name.

    Returns:
        Of the entries ``embedding`` (N, D) float32, ``theta`` (N, 2, 3) float32, and the texts (N,) ``path``, ``box``,
        ``identity``, ``camera``, ``role`` and ``sha256`` (of the file).

        Of the queries ``query_row`` (Q,), ``query_draw`` (Q,), ``match_start`` (Q + 1,), ``other_row`` (Q,), -1 if no
        other vehicle is there, and ``other_distance`` (Q,), infinite then. The true matches of query i, nearest first,
        are ``[match_start[i] : match_start[i + 1]]`` of ``match_row``, ``match_rank`` and ``match_distance`` (T,). Rows
        are those of the entries.

        ``figures``: one text, the figures as JSON.
    """
    entries = evaluation.task.entries
    queries = list(ranked_queries(evaluation))
    num_matches = [len(query.match_rows) for query in queries]
    return {
        "embedding": embedded.embedding,
        "theta": embedded.theta,
        "path": np.array([entry.path for entry in entries]),
        "box": np.array(["" if entry.box is None else str(entry.box) for entry in entries]),
        "identity": np.array([entry.identity for entry in entries]),
        "camera": np.array([entry.camera for entry in entries]),
        "role": np.array([entry.role or "" for entry in entries]),
        "sha256": np.array(embedded.content),
        "query_row": np.array([query.row for query in queries], np.int64),
        "query_draw": np.array([query.draw for query in queries], np.int64),
        "match_start": np.concatenate([[0], np.cumsum(num_matches)]).astype(np.int64),
        "match_row": np.concatenate([query.match_rows for query in queries]),
        "match_rank": np.concatenate([query.match_ranks for query in queries]),
        "match_distance": np.concatenate([query.match_distances for query in queries]),
        "other_row": np.array([query.other_row for query in queries], np.int64),
        "other_distance": np.array([query.other_distance for query in queries], np.float32),
        "figures": np.array(json.dumps(dict(figures))),
    }
