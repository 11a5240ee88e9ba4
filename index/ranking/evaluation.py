"""Scores a model on a task: CMC, mAP and mINP with their intervals, and what the figures belong to.

The trainer's ``evaluate`` and the service's ``/metrics`` both call this with the same batches, so that their figures
agree to the last digit on the same machine and device, in the same precision and with the same number of threads.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.datasets.bulk_embedding import EmbedBatch, EmbeddedEntries, embed_entries
from index.datasets.protocol import ProtocolError
from index.datasets.task import Task
from index.ranking.bootstrap import Interval, interval, resampled_means
from index.ranking.query_matches import NO_MATCH, QueryMatches, query_matches
from index.ranking.ranking_metrics import QueryScores, cmc_curve, distance_blocks, score_matches
from index.ranking.reranking import Refinement, expand_queries, rerank
from model.preprocessing import Preprocessing

DEFAULT_RANKS: Final = (1, 5, 10)

# The percentile bootstrap of so few values covers the truth far less often than in 95 of 100 cases.
_FEW_IDENTITIES: Final = 6


@dataclass(frozen=True)
class Evaluation:
    """The figures of one model on one task. All ratios lie in 0..1.

    Attributes:
        refinement: what was done besides ranking by distance.
        cmc_curve: (R,), CMC at ranks 1, 2, ...; it ends where it reaches 1.
        intervals: 95 % bootstrap intervals over the queries' identities, (low, high) of ``cmc1`` and ``map``; the
            gallery is fixed (`index.ranking.bootstrap`).
        scores: of each query, those of further draws behind the first's.
        matches: of each query, in the same order, where its true matches stand in the gallery of its draw; empty unless
            they were to be kept. Distances are Euclidean; re-ranked, those of `index.ranking.reranking.rerank`.
        dataset_fingerprint: SHA-256 over every line that was used and the bytes of its image, and the camera rule.
    """

    task: Task
    refinement: Refinement | None
    cmc_curve: NDArray[np.float64]
    map: float
    minp: float
    intervals: dict[str, Interval]
    scores: QueryScores
    matches: tuple[QueryMatches, ...]
    dataset_fingerprint: str
    evaluated_at: datetime
    warnings: tuple[str, ...]

    @property
    def query_identities(self) -> tuple[str, ...]:
        """Of each query, in the order of the scores."""
        return _query_identities(self.task)

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
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "intervals_over": "identities",
            "refinement": None if self.refinement is None else dataclasses.asdict(self.refinement),
            "num_draws": 1 + len(self.task.further_draws),
            "num_queries": len(self.task.queries),
            "num_query_identities": len(set(self.query_identities)),
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
    refinement: Refinement | None = None,
) -> Evaluation:
    """Embeds the task's images and scores them; with a refinement, by the refined ranking.

    Raises:
        ImageError, BoxError, OSError: an image cannot be used.
    """
    embedded = embed_entries(task.manifest, task.entries, preprocessing, embed_batch, progress)
    return evaluate_embedded(task, embedded, refinement)


def evaluate_embedded(
    task: Task, embedded: EmbeddedEntries, refinement: Refinement | None = None, *, keep_matches: bool = False
) -> Evaluation:
    """Scores embeddings that are there already, of the task's `entries`.

    Where images are drawn by chance, the queries of all draws count alike: the figures are the mean over the draws.
    """
    draws = (task, *task.further_draws)
    kept: list[QueryMatches] = []
    scores = []
    for draw in draws:
        matches = _matches(draw, rows_of(draw, task), embedded.embedding, refinement)
        if keep_matches:
            kept += matches
            matches = iter(kept[-len(draw.queries) :])
        scores.append(score_matches(matches, len(draw.queries)))
    pooled = QueryScores(*(np.concatenate(values) for values in zip(*scores, strict=True)))
    map_, minp = float(pooled.average_precision.mean()), float(pooled.inverse_negative_penalty.mean())
    curve = cmc_curve(pooled.first_rank)
    check_figures(float(curve[0]), map_, minp, max_matches=int(pooled.num_matches.max()))
    identities = _query_identities(task)
    return Evaluation(
        task=task,
        refinement=refinement,
        cmc_curve=curve,
        map=map_,
        minp=minp,
        intervals=bootstrap_intervals(pooled, identities),
        scores=pooled,
        matches=tuple(kept),
        dataset_fingerprint=_fingerprint(task, embedded.content),
        evaluated_at=datetime.now(UTC),
        warnings=(*task.warnings, *_shared_images(task, embedded.content), *_few_identities(identities)),
    )


def bootstrap_intervals(scores: QueryScores, identities: Sequence[str], seed: int = 0) -> dict[str, Interval]:
    """95 % intervals of CMC-1 and mAP over the identities, one of each query; all queries of one are drawn together.

    Raises:
        ValueError: there is no query, or not one identity for each.
    """
    figures = {"cmc1": scores.first_rank == 1, "map": scores.average_precision}
    means = resampled_means(np.stack(list(figures.values()), axis=1), identities, seed)
    return {name: interval(means[:, column]) for column, name in enumerate(figures)}


def check_figures(cmc1: float, map_: float, minp: float | None = None, *, max_matches: int) -> None:
    """Refuses figures that no ranking can have, whoever computed them.

    With one true match per query at rank r, AP = INP = 1/r, so mAP = mINP ≥ CMC-1. With M matches, the last
    of them at rank r, INP = M/r and AP ≥ (1/M) Σ i/(r − M + i) ≥ (M + 1)/(2r): INP ≤ 2M/(M + 1) AP.

    Raises:
        ProtocolError: they contradict each other; the usual reason is that query and gallery were swapped.
    """
    rounding = 1e-9
    if max_matches == 1 and cmc1 > map_ + rounding:
        raise ProtocolError(
            f"CMC-1 {cmc1:.4f} above mAP {map_:.4f} is impossible where every query has one true match: there AP is "
            "1/rank, so mAP is at least CMC-1. These figures are of another protocol: were query and gallery swapped?"
        )
    highest_minp = 2 * max_matches / (max_matches + 1) * map_
    if minp is not None and (minp > highest_minp + rounding or (max_matches == 1 and minp < map_ - rounding)):
        raise ProtocolError(
            f"mINP {minp:.4f} does not go with mAP {map_:.4f}: with at most {max_matches} true matches per query it "
            + (f"is at most {highest_minp:.4f}" if max_matches > 1 else "is the same")
        )


def _query_identities(task: Task) -> tuple[str, ...]:
    return tuple(entry.identity for draw in (task, *task.further_draws) for entry in draw.queries)


def rows_of(draw: Task, task: Task) -> NDArray[np.int64]:
    """Where a draw's queries and then its gallery stand among the task's entries: (Q + G,)."""
    rows = {entry.key: row for row, entry in enumerate(task.entries)}
    return np.array([rows[entry.key] for entry in draw.queries + draw.gallery])


def _matches(
    task: Task, rows: NDArray[np.int64], embeddings: NDArray[np.float32], refinement: Refinement | None
) -> Iterator[QueryMatches]:
    num_queries = len(task.queries)
    identity_labels = _numbered(entry.identity for entry in task.queries)
    labels = np.array(
        [
            NO_MATCH if entry.role == "distractor" else identity_labels.get(entry.identity, NO_MATCH)
            for entry in task.queries + task.gallery
        ]
    )
    cameras: tuple[NDArray[np.int64] | None, NDArray[np.int64] | None] = (None, None)
    if task.camera_rule == "same_camera":
        camera_numbers = _numbered(entry.camera for entry in task.queries + task.gallery)
        seen_by = np.array([camera_numbers[entry.camera] for entry in task.queries + task.gallery])
        cameras = seen_by[:num_queries], seen_by[num_queries:]
    queries, gallery = embeddings[rows[:num_queries]], embeddings[rows[num_queries:]]
    if refinement is not None and refinement.num_expand:
        queries = expand_queries(queries, gallery, refinement.num_expand)
    labels_and_cameras = (labels[:num_queries], labels[num_queries:], *cameras)
    if refinement is not None and refinement.reranking is not None:
        return query_matches(rerank(queries, gallery, refinement.reranking), *labels_and_cameras)
    return map(_euclidean, query_matches(distance_blocks(queries, gallery), *labels_and_cameras))


def _euclidean(matches: QueryMatches) -> QueryMatches:
    """Of matches whose distances are squared."""
    # Both in float32, so that equally distant images stay so.
    wrong_distance = float(np.sqrt(np.float32(matches.wrong_distance)))
    return matches._replace(distance=np.sqrt(matches.distance), wrong_distance=wrong_distance)


def _shared_images(task: Task, content: Sequence[str]) -> list[str]:
    keys = [(sha256, str(entry.box)) for sha256, entry in zip(content, task.queries + task.gallery, strict=False)]
    gallery = set(keys[len(task.queries) :])
    shared = sum(key in gallery for key in keys[: len(task.queries)])
    if not shared:
        return []
    return [f"{shared} queries are in the gallery too, the same image and box: finding themselves flatters the figures"]


def _few_identities(identities: Sequence[str]) -> list[str]:
    num = len(set(identities))
    if num == 1:
        return [
            f"all queries are of one vehicle, {identities[0]}: intervals over identities have no width and say nothing"
        ]
    if num < _FEW_IDENTITIES:
        return [
            f"the queries are of {num} vehicles only: intervals over fewer than {_FEW_IDENTITIES} identities are too "
            "narrow to rely on"
        ]
    return []


def _numbered(names: Iterable[str]) -> dict[str, int]:
    """Each name once, with a number of its own."""
    return {name: number for number, name in enumerate(dict.fromkeys(names))}


def _fingerprint(task: Task, content: Sequence[str]) -> str:
    digest = hashlib.sha256(json.dumps([task.camera_rule]).encode())
    content_of = {entry.key: sha256 for entry, sha256 in zip(task.entries, content, strict=True)}
    for draw in (task, *task.further_draws):
        for entry in draw.queries + draw.gallery:
            fields = [entry.role, entry.identity, entry.camera, str(entry.box), content_of[entry.key]]
            digest.update(json.dumps(fields, ensure_ascii=True).encode())
    return digest.hexdigest()
