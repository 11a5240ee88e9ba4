"""Searches by their definition, and what the answers of a gallery name."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from index.gallery.answers import SearchResult
from index.gallery.enrolment import Enrolment
from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from tests.index.records import DIM

EVERYTHING = Filter()


def naive(enrolments: Sequence[Enrolment], query: NDArray[np.float32], top_k: int) -> list[str]:
    """The ids of the `top_k` nearest, by (distance, id)."""

    def distance(one: Enrolment) -> float:
        return float(np.linalg.norm(one.record.embedding.astype(np.float64) - query.astype(np.float64)))

    return [one.record.id for one in sorted(enrolments, key=lambda one: (distance(one), one.record.id))[:top_k]]


def naive_groups(enrolments: Sequence[Enrolment], query: NDArray[np.float32], top_k: int) -> list[str]:
    """The ids of the nearest of each identity, and of all without one; the `top_k` nearest of these."""
    by_id = {one.record.id: one.record for one in enrolments}
    seen: set[str] = set()
    nearest = []
    for id_ in naive(enrolments, query, len(enrolments)):
        identity = by_id[id_].fields.identity
        if identity is None or identity not in seen:
            nearest.append(id_)
            seen.add(id_ if identity is None else identity)
    return nearest[:top_k]


def ids(found: SearchResult) -> list[str]:
    """The ids of the matches."""
    return [match.record.id for match in found.matches]


def listed(gallery: Gallery, limit: int = 1000, where: Filter = EVERYTHING) -> list[str]:
    """The ids on all pages."""
    found: list[str] = []
    cursor = None
    while True:
        page = gallery.page(where, limit, cursor)
        assert len(page.records) <= limit
        found += [one.id for one in page.records]
        cursor = page.next_cursor
        if cursor is None:
            return found


def assert_is_empty(gallery: Gallery) -> None:
    """Nothing is listed, found or counted."""
    assert gallery.page(EVERYTHING, 10, None).total == 0
    assert gallery.search(np.zeros(DIM, np.float32), 10, EVERYTHING) == SearchResult([], 0)
    assert gallery.stats(10).total == 0
