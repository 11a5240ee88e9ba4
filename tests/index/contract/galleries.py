"""Records to search, and what a `VectorIndex` answers by definition."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from index.gallery.fields import Fields
from index.gallery.filters import Filter, Near
from index.gallery.record import Record
from index.gallery.vector_index import Neighbours
from tests.index.records import record

NOON: Final = datetime(2026, 5, 1, 12, tzinfo=UTC)

GROUPINGS: Final[tuple[Literal["identity"] | None, ...]] = (None, "identity")

NAMES: Final = [
    "v0", "v 1", 'quo"ted', "it's", "back\\slash", "\\", "\\n", "new\nline", "Ö", "日本", "🚗",
    "e\u0301", "é", "%", "_", "a or 1 == 1", "]", "{name}", " ", "", "null", "None", "x" * 1000, "ü" * 200,
]  # fmt: skip


def by_chance(rng: np.random.Generator) -> Fields:
    """Fields, each of which may be absent."""

    def one_of(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    has_place = rng.random() < 0.8
    return Fields(
        identity=one_of(None, *NAMES),
        camera=one_of(None, "a", "b", 'c"', "d\\"),
        captured_at=one_of(None, NOON + timedelta(minutes=int(rng.integers(60))), datetime(1, 1, 1, tzinfo=UTC)),
        latitude=float(rng.choice([48.1, -89.99, 89.99, 0.0]) + rng.random() * 0.005) if has_place else None,
        longitude=float(rng.choice([11.5, 179.998, -179.999, 0.0]) + rng.random() * 0.001) if has_place else None,
        tags=one_of((), ("day",), ("day", "rain"), tuple(NAMES[:5])),
        source=one_of(None, "1.jpg", "folder\\2.jpg", "ünter/'3'.jpg"),
        attributes=one_of({}, {"colour": "red"}, {"colour": "blue", 'ma"ke': "v\\w"}, {"a": "b c"}, {"a b": "c"}),
    )


FILTERS: Final = {
    "everything": Filter(),
    "a camera": Filter(cameras=("a",)),
    "cameras": Filter(cameras=("a", 'c"', "d\\")),
    "no camera": Filter(cameras=("nowhere",)),
    "tags": Filter(tags=("day", "rain")),
    "tags with quotes": Filter(tags=(NAMES[2], NAMES[4])),
    "after": Filter(captured_after=NOON + timedelta(minutes=20)),
    "before": Filter(captured_before=NOON + timedelta(minutes=20)),
    "between": Filter(captured_after=NOON, captured_before=NOON + timedelta(microseconds=60_000_001)),
    "source": Filter(source="folder\\2.jpg"),
    "unicode source": Filter(source="ünter/'3'.jpg"),
    "attribute": Filter(attributes=(("colour", "red"),)),
    "attributes": Filter(attributes=(("colour", "blue"), ('ma"ke', "v\\w"))),
    "attribute's words": Filter(attributes=(("a", "b c"),)),
    "near": Filter(near=Near(48.102, 11.5, 200)),
    "near, and more": Filter(near=Near(48.102, 11.5, 300), cameras=("a", "b"), tags=("day",)),
    "near the date line": Filter(near=Near(0.001, 180, 230)),
    "near the south pole": Filter(near=Near(-89.9999, -70, 1000)),
    "around the north pole": Filter(near=Near(90, 0, 900)),
    "half the world": Filter(near=Near(10, 11, 10_000_000)),
    "the whole world": Filter(near=Near(10, 11, 30_000_000)),
    "nowhere near": Filter(near=Near(30, 30, 10)),
    "no radius": Filter(near=Near(48.1, 11.5, 0)),
    "half a pair": Filter(identity="\ud83d"),
    **{f"identity {name[:12]!r}": Filter(identity=name) for name in NAMES},
}


def some_records(num: int, seed: int, **changes: Any) -> dict[int, Record]:
    """Records with fields by chance, by seqs that have gaps."""
    rng = np.random.default_rng(seed)
    return {3 * number + 1: replace(record(number, **changes), fields=by_chance(rng)) for number in range(num)}


def with_embeddings(vectors: NDArray[np.float32], identities: int = 0) -> dict[int, Record]:
    """Records with these embeddings (N, D), of a number of identities or of none."""
    return {
        number + 1: record(number, embedding=vector, identity=f"v{number % identities}" if identities else None)
        for number, vector in enumerate(vectors)
    }


def expected(
    records: Mapping[int, Record], query: NDArray[np.float32], top_k: int, where: Filter, group_by: str | None = None
) -> Neighbours:
    """The nearest of all records that pass, by (distance, id), in float64; of each identity only the first."""
    passing = {seq: one for seq, one in records.items() if where.matches(one)}
    distances = {
        seq: float(np.sqrt(np.sum(np.square(one.embedding.astype(np.float64) - query)))) for seq, one in passing.items()
    }
    seqs: list[int] = []
    identities: set[str] = set()
    for seq in sorted(passing, key=lambda seq: (distances[seq], passing[seq].id)):
        identity = passing[seq].fields.identity
        if group_by is None or identity is None or identity not in identities:
            seqs.append(seq)
        if identity is not None:
            identities.add(identity)
    nearest = seqs[:top_k]
    return Neighbours(np.array(nearest, np.int64), np.array([distances[seq] for seq in nearest]), len(passing))


def assert_same(found: Neighbours, right: Neighbours) -> None:
    """To the last bit."""
    assert found.searched == right.searched
    assert found.seq.tolist() == right.seq.tolist()
    assert found.distance.tolist() == right.distance.tolist()
