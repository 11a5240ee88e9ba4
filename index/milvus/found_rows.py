"""Rows as Milvus returns them, as arrays; and in the order of an answer."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.gallery.circle import within_circle
from index.gallery.exact_distance import exact_distances
from index.gallery.filters import Near
from index.milvus.scaled_vector import unscaled

COLUMNS: Final = ["id", "embedding", "exponent", "identity", "latitude", "longitude"]
"""What a search needs of a row."""


class RankedRows(NamedTuple):
    """Rows (N,) by rising (distance, id).

    Attributes:
        seq: int64.
        id: texts.
        distance: float64.
        identity: int64 codes, `NO_TEXT` for none.
    """

    seq: NDArray[np.int64]
    id: NDArray[np.str_]
    distance: NDArray[np.float64]
    identity: NDArray[np.int64]

    def at(self, chosen: slice | NDArray[np.bool_] | NDArray[np.int64]) -> "RankedRows":
        """Some of them, in the order in which they are chosen."""
        return RankedRows(self.seq[chosen], self.id[chosen], self.distance[chosen], self.identity[chosen])

    def first(self, num: int) -> "RankedRows":
        """The nearest ones."""
        return self.at(slice(num))

    def followed_by(self, other: "RankedRows") -> "RankedRows":
        """Both, where the others are farther."""
        return RankedRows(
            np.concatenate([self.seq, other.seq]),
            np.concatenate([self.id, other.id]),
            np.concatenate([self.distance, other.distance]),
            np.concatenate([self.identity, other.identity]),
        )

    def merged(self, other: "RankedRows", num: int) -> "RankedRows":
        """The nearest ones of both, none of which is in both."""
        both = self.followed_by(other)
        return both.at(np.lexsort((both.id, both.distance))[:num])


NO_ROWS: Final = RankedRows(np.empty(0, np.int64), np.empty(0, "U32"), np.empty(0), np.empty(0, np.int64))


class FoundRows:
    """Rows (N, D) in the order in which they came.

    Attributes:
        vectors: (N, D) float32, as Milvus compares them.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], dim: int) -> None:
        """Each with its seq and `COLUMNS`."""
        self.vectors = np.array([row["embedding"] for row in rows], np.float32).reshape(-1, dim)
        self._seq = np.array([row["seq"] for row in rows], np.int64)
        self._id = np.array([row["id"] for row in rows], "U32")
        self._exponent = np.array([row["exponent"] for row in rows], np.int64)
        self._identity = np.array([row["identity"] for row in rows], np.int64)
        self._latitude = np.array([row["latitude"] for row in rows], np.float64)
        self._longitude = np.array([row["longitude"] for row in rows], np.float64)

    def __len__(self) -> int:
        return len(self._seq)

    def ranked(self, query: NDArray[np.float32], near: Near | None) -> RankedRows:
        """By their distance from a query (D,); without those outside of a circle."""
        distance = exact_distances(unscaled(self.vectors, self._exponent), query)
        order = np.lexsort((self._id, distance))
        if near is not None:
            order = order[within_circle(self._latitude[order], self._longitude[order], near)]
        return RankedRows(self._seq[order], self._id[order], distance[order], self._identity[order])
