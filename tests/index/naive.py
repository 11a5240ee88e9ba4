"""The metrics by their definitions: a loop over a sorted list, in Python's own float64."""

from collections.abc import Sequence
from typing import NamedTuple

from index.ranking.query_matches import NO_MATCH


class Scores(NamedTuple):
    """Of one query; zeros if it has no true match."""

    num_matches: int = 0
    first_rank: int = 0
    average_precision: float = 0.0
    inverse_negative_penalty: float = 0.0


def score_ranking(truths: Sequence[bool]) -> Scores:
    """What a ranking is worth that says, from the nearest on, which images are true matches."""
    precisions, ranks = [], []
    for rank, true in enumerate(truths, 1):
        if true:
            ranks.append(rank)
            precisions.append(len(ranks) / rank)
    if not ranks:
        return Scores()
    return Scores(len(ranks), ranks[0], sum(precisions) / len(ranks), len(ranks) / ranks[-1])


def rank_gallery(
    query: Sequence[float],
    gallery: Sequence[Sequence[float]],
    label: int,
    labels: Sequence[int],
    camera: int | None = None,
    cameras: Sequence[int] | None = None,
) -> list[bool]:
    """Which images are true matches, from the nearest to the farthest, wrong ones first where they are as near."""
    ranked = []
    for i, image in enumerate(gallery):
        same = labels[i] == label and label != NO_MATCH
        if cameras is not None and same and cameras[i] == camera:
            continue
        ranked.append((sum((a - b) ** 2 for a, b in zip(query, image, strict=True)), same))
    return [same for _, same in sorted(ranked)]


def cmc(first_ranks: Sequence[int], rank: int) -> float:
    """The share of queries whose first true match is among the first `rank`."""
    return sum(first <= rank for first in first_ranks) / len(first_ranks)
