"""What a gallery must be, from a dictionary of its records: listed, counted, and searched by definition."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from index.gallery.record import Record
from tests.index.naive_search import EVERYTHING, ids, listed
from tests.index.records import values

NUM_QUERIES: Final = 3
TOP_K: Final = 10

State = Mapping[str, Record]
"""The records that a gallery has, by id, in the order of enrolment."""


def assert_is(gallery: Gallery, state: State, filters: Sequence[Filter] = (EVERYTHING,), seed: int = 0) -> None:
    """It has these records and no others, each with its own embedding, and nothing of it is damaged."""
    assert stored(gallery) == {id_: values(record) for id_, record in state.items()}
    assert [*stored(gallery)] == [*state]
    stats = gallery.stats(1000)
    assert (stats.total, stats.searchable, stats.damaged, stats.damaged_images) == (len(state), len(state), 0, 0)
    assert stats.index_problems == ()
    assert stats.num_images == len({record.content for record in state.values()})
    assert stats.cameras == tally([record.fields.camera for record in state.values()])
    assert stats.identities == tally([record.fields.identity for record in state.values()])
    for where in filters:
        assert listed(gallery, 50, where) == [id_ for id_, record in state.items() if where.matches(record)]
    assert_is_searched(gallery, state, filters, seed)


def tally(names: Sequence[str | None]) -> list[tuple[str | None, int]]:
    """Each name with how often it occurs, the most frequent first, None before other names."""
    return sorted(Counter(names).items(), key=lambda item: (-item[1], item[0] is not None, item[0] or ""))


def settle(gallery: Gallery) -> None:
    """Waits until its index has nothing left to fold, compact or save."""
    index: Any = gallery._index
    index._rows.settle()


def stored(gallery: Gallery) -> dict[str, dict[str, object]]:
    """Everything in every record that is listed, by id, in the order of the list."""
    return {record.id: values(record) for record in gallery.page(EVERYTHING, 1_000_000, None).records}


def assert_is_searched(
    gallery: Gallery, state: State, filters: Sequence[Filter] = (EVERYTHING,), seed: int = 0
) -> None:
    """Each record is the nearest to its own embedding; the answers to random queries are those of float64."""
    index, store = cast(Any, gallery._index), cast(Any, gallery._store)
    same: dict[bytes, str] = {}  # of equal embeddings the first by id
    for id_ in sorted(state):
        same.setdefault(state[id_].embedding.tobytes(), id_)
    if same:
        # All at once, below the gallery: thousands of single searches would take minutes.
        nearest = index.search(np.stack([np.frombuffer(embedding, np.float32) for embedding in same]), 1, EVERYTHING)
        found = store.records_at([int(one.seq[0]) for one in nearest])
        assert [found[int(one.seq[0])].id for one in nearest] == [*same.values()]
        assert [float(one.distance[0]) for one in nearest] == [0.0] * len(same)
    groupings: tuple[Literal["identity"] | None, ...] = (None, "identity")
    rng = np.random.default_rng(seed)
    for _ in range(NUM_QUERIES if state else 0):
        # Around a record, as queries are.
        record = state[rng.choice(list(state))]
        query = record.embedding + 0.3 * rng.standard_normal(len(record.embedding)).astype(np.float32)
        for where in filters:
            for group_by in groupings:
                expected = nearest_records(state, query, where, group_by)
                found = gallery.search(query, TOP_K, where, group_by)
                assert ids(found) == [id_ for id_, _ in expected]
                distances = [match.distance for match in found.matches]
                np.testing.assert_allclose(distances, [distance for _, distance in expected], rtol=1e-12)


def nearest_records(
    state: State, query: NDArray[np.float32], where: Filter, group_by: Literal["identity"] | None
) -> list[tuple[str, float]]:
    """(id, distance) of the nearest records that pass, by (distance, id), computed in float64 one by one."""
    distances = {
        record.id: float(np.linalg.norm(record.embedding.astype(np.float64) - query.astype(np.float64)))
        for record in state.values()
        if where.matches(record)
    }
    nearest: dict[object, tuple[str, float]] = {}
    for id_, distance in sorted(distances.items(), key=lambda item: (item[1], item[0])):
        group = state[id_].fields.identity if group_by else None
        nearest.setdefault(id_ if group is None else (group,), (id_, distance))
    return list(nearest.values())[:TOP_K]
