"""Scores a model on a task: CMC, mAP and mINP with their intervals, and what the figures belong to.

The trainer's ``evaluate`` and the service's ``/metrics`` both call this, so that their figures agree to the last digit.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.bulk_embedding import EmbedBatch, EmbeddedEntries, embed_entries
from index.protocol import ProtocolError
from index.ranking_metrics import NO_MATCH, QueryScores, cmc_curve, score_queries
from index.task import Task
from model.preprocessing import Preprocessing

DEFAULT_RANKS: Final = (1, 5, 10)
NUM_RESAMPLES: Final = 1000
"""Bootstrap resamples of the queries."""


@dataclass(frozen=True)
class Evaluation:
    """The figures of one model on one task. All ratios lie in 0..1.

    Attributes:
        cmc_curve: (R,), CMC at ranks 1, 2, ...; it ends where it reaches 1.
        intervals: 95 % bootstrap intervals over the queries, (low, high) of ``cmc1`` and ``map``.
        dataset_fingerprint: SHA-256 over every line that was used and the bytes of its image, and the camera rule.
    """

    task: Task
    cmc_curve: NDArray[np.float64]
    map: float
    minp: float
    intervals: dict[str, tuple[float, float]]
    dataset_fingerprint: str
    evaluated_at: datetime
    warnings: tuple[str, ...]

    def cmc(self, rank: int) -> float:
        """The share of queries with a true match among the first `rank`."""
        if rank < 1:
            raise ValueError(f"ranks start at 1, got {rank}")
        return float(self.cmc_curve[min(rank, len(self.cmc_curve)) - 1])

    def to_dict(self, ranks: Sequence[int] = DEFAULT_RANKS) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "dataset": self.task.dataset,
            "dataset_fingerprint": self.dataset_fingerprint,
            "split": self.task.split,
            "camera_rule": self.task.camera_rule,
            "cmc": {str(rank): self.cmc(rank) for rank in ranks},
            "map": self.map,
            "minp": self.minp,
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "num_queries": len(self.task.queries),
            "num_unmatched": self.task.num_unmatched,
            "num_gallery": len(self.task.gallery),
            "num_distractors": sum(entry.role == "distractor" for entry in self.task.gallery),
            "num_junk": self.task.num_junk,
            "evaluated_at": self.evaluated_at.isoformat(timespec="seconds"),
            "warnings": list(self.warnings),
            "cmc_curve": self.cmc_curve.tolist(),
        }


def evaluate(
    task: Task,
    preprocessing: Preprocessing,
    embed_batch: EmbedBatch,
    progress: Callable[[int], object] = lambda _: None,
) -> Evaluation:
    """Embeds the task's images and scores them.

    Raises:
        ImageError, BoxError, OSError: an image cannot be used.
    """
    embedded = embed_entries(task.manifest, task.queries + task.gallery, preprocessing, embed_batch, progress)
    return evaluate_embedded(task, embedded)


def evaluate_embedded(task: Task, embedded: EmbeddedEntries) -> Evaluation:
    """Scores embeddings (Q + G, D) that are there already: the task's queries, then its gallery."""
    num_queries = len(task.queries)
    identity_labels = _numbered(entry.identity for entry in task.queries)
    labels = np.array(
        [
            NO_MATCH if entry.role == "distractor" else identity_labels.get(entry.identity, NO_MATCH)
            for entry in task.queries + task.gallery
        ]
    )
    seen_by = None
    if task.camera_rule == "same_camera":
        camera_numbers = _numbered(entry.camera for entry in task.queries + task.gallery)
        seen_by = np.array([camera_numbers[entry.camera] for entry in task.queries + task.gallery])
    scores = score_queries(
        embedded.embedding[:num_queries],
        embedded.embedding[num_queries:],
        labels[:num_queries],
        labels[num_queries:],
        None if seen_by is None else seen_by[:num_queries],
        None if seen_by is None else seen_by[num_queries:],
    )
    map_, minp = float(scores.average_precision.mean()), float(scores.inverse_negative_penalty.mean())
    curve = cmc_curve(scores.first_rank)
    check_figures(float(curve[0]), map_, minp, max_matches=int(scores.num_matches.max()))
    return Evaluation(
        task=task,
        cmc_curve=curve,
        map=map_,
        minp=minp,
        intervals=bootstrap_intervals(scores),
        dataset_fingerprint=_fingerprint(task, embedded.content),
        evaluated_at=datetime.now(UTC),
        warnings=(*task.warnings, *_shared_images(task, embedded.content)),
    )


def bootstrap_intervals(scores: QueryScores, seed: int = 0) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of CMC-1 and mAP: the queries drawn anew, with replacement, `NUM_RESAMPLES` times."""
    rng = np.random.default_rng(seed)
    values = np.stack([scores.first_rank == 1, scores.average_precision], axis=1).astype(np.float64)
    means = np.stack([values[rng.integers(len(values), size=len(values))].mean(axis=0) for _ in range(NUM_RESAMPLES)])
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(("cmc1", "map"))}


def check_figures(cmc1: float, map_: float, minp: float | None = None, *, max_matches: int) -> None:
    """Refuses figures that no ranking can have, whoever computed them.

    With one true match per query at rank r, AP = INP = 1/r, so mAP = mINP ≥ CMC-1. With any number, INP ≤ AP.

    Raises:
        ProtocolError: they contradict each other; the usual reason is that query and gallery were swapped.
    """
    rounding = 1e-9
    if max_matches == 1 and cmc1 > map_ + rounding:
        raise ProtocolError(
            f"CMC-1 {cmc1:.4f} above mAP {map_:.4f} is impossible where every query has one true match: there AP is "
            "1/rank, so mAP is at least CMC-1. These figures are of another protocol: were query and gallery swapped?"
        )
    if minp is not None and (minp > map_ + rounding or (max_matches == 1 and abs(minp - map_) > rounding)):
        raise ProtocolError(
            f"mINP {minp:.4f} does not go with mAP {map_:.4f}: it is at most mAP, and equal to it with one match"
        )


def _shared_images(task: Task, content: Sequence[str]) -> list[str]:
    keys = [(sha256, str(entry.box)) for sha256, entry in zip(content, task.queries + task.gallery, strict=True)]
    gallery = set(keys[len(task.queries) :])
    shared = sum(key in gallery for key in keys[: len(task.queries)])
    if not shared:
        return []
    return [f"{shared} queries are in the gallery too, the same image and box: finding themselves flatters the figures"]


def _numbered(names: Iterable[str]) -> dict[str, int]:
    """Each name once, with a number of its own."""
    return {name: number for number, name in enumerate(dict.fromkeys(names))}


def _fingerprint(task: Task, content: Sequence[str]) -> str:
    digest = hashlib.sha256(json.dumps([task.camera_rule]).encode())
    for entry, sha256 in zip(task.queries + task.gallery, content, strict=True):
        fields = [entry.role, entry.identity, entry.camera, str(entry.box), sha256]
        digest.update(json.dumps(fields, ensure_ascii=True).encode())
    return digest.hexdigest()
