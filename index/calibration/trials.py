"""Answers whose truth is known, made from vehicles that are: galleries of several sizes are drawn from them and asked.

Each query is asked twice of each gallery, if its vehicle is in it: as it is, and with its own vehicle left out, which
makes it the query of an unknown vehicle (open-set identification, as in ISO/IEC 19795-1 and NIST's FRVT 1:N).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from index.calibration.evidence import DEPTH

NOBODY: Final = -1
"""The identity of a match that is not there."""

_MAX_IN_VAIN: Final = 1000
_CHUNK_BYTES: Final = 256 * 2**20


@dataclass(frozen=True)
class Vehicles:
    """Embedded crops of vehicles that are known.

    Attributes:
        embedding: (N, D) float32.
        identity: (N,) a number for each vehicle.
        frame: (N,) a number for each image: two crops of one image are never the same vehicle's.
        may_ask, may_answer: (N,) which crops are queries, and which may stand in a gallery.
    """

    embedding: NDArray[np.float32]
    identity: NDArray[np.int64]
    frame: NDArray[np.int64]
    may_ask: NDArray[np.bool]
    may_answer: NDArray[np.bool]

    @classmethod
    def named(cls, embedding: NDArray[np.float32], identities: Sequence[str], images: Sequence[str]) -> Self:
        """Crops (N, D), all of which may ask and answer, with the names of their vehicles and of their images."""
        everything = np.ones(len(embedding), np.bool)
        identity, frame = (np.unique(np.array(names), return_inverse=True)[1] for names in (identities, images))
        return cls(embedding, identity, frame, everything, everything)


class Trials(NamedTuple):
    """T answers, each with the first K matches.

    Attributes:
        distance: (T, K) rising; where a gallery has fewer, it ends with infinities.
        match: (T, K) the identities of the matches, `NOBODY` where there is none.
        vehicle: (T,) the query's identity.
        is_known: (T,) whether the query's vehicle is in the gallery.
        num_searched: (T,).
    """

    distance: NDArray[np.float64]
    match: NDArray[np.int64]
    vehicle: NDArray[np.int64]
    is_known: NDArray[np.bool]
    num_searched: NDArray[np.int64]

    @property
    def is_right(self) -> NDArray[np.bool]:
        """(T, K) whether each match is the query's vehicle."""
        return np.equal(self.match, self.vehicle[:, np.newaxis])

    def __len__(self) -> int:
        return len(self.vehicle)

    def where(self, chosen: NDArray[np.bool]) -> "Trials":
        """Those that are chosen (T,)."""
        return Trials(
            self.distance[chosen],
            self.match[chosen],
            self.vehicle[chosen],
            self.is_known[chosen],
            self.num_searched[chosen],
        )


def draw_trials(
    vehicles: Vehicles,
    sizes: Sequence[int],
    num_queries: int,
    seed: Sequence[int],
    step: Callable[[], object] = lambda: None,
) -> Trials:
    """Of each size as many galleries as `num_queries` queries need; a gallery is asked for its own vehicles.

    Every answer comes from as many records as the size says: for what a query may not find, others take part. Only
    where there are no more crops it comes from fewer.

    Args:
        vehicles: among which they are drawn, each vehicle with all its crops.
        sizes: in records.
        num_queries: of each size; each is two trials.
        seed: of the draws.
        step: called before each part of the work; what it raises ends it.

    Raises:
        ValueError: there are not so many crops that may answer, or no query that has an answer.
    """
    parts = []
    for size in sizes:
        for part in _trials_of_size(vehicles, size, num_queries, np.random.default_rng([*seed, size])):
            step()
            parts.append(part)
    return concatenate(parts)


def _trials_of_size(vehicles: Vehicles, size: int, num_queries: int, rng: np.random.Generator) -> Iterator[Trials]:
    most_crops = int(np.unique_counts(vehicles.identity[vehicles.may_answer]).counts.max(initial=0))
    missing, num_in_vain = num_queries, 0
    while missing > 0:
        gallery = _draw_gallery(vehicles, size, most_crops, rng)
        is_asked = vehicles.may_ask & np.isin(vehicles.identity, vehicles.identity[gallery[:size]])
        queries = rng.permutation(np.flatnonzero(is_asked))[:missing]
        num_in_vain = 0 if len(queries) else num_in_vain + 1
        if num_in_vain == _MAX_IN_VAIN:
            raise ValueError(f"of {_MAX_IN_VAIN} galleries of {size}, none had a vehicle for which there is a query")
        yield from _ask(vehicles, queries, gallery, size)
        missing -= len(queries)


def concatenate(parts: Sequence[Trials]) -> Trials:
    """All of them, one behind the other."""
    return Trials(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _draw_gallery(vehicles: Vehicles, size: int, num_spare: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """So many crops, of whole vehicles but for the last one; then spare ones, as far as there are."""
    crops = np.flatnonzero(vehicles.may_answer)
    if len(crops) < size:
        raise ValueError(f"a gallery of {size} cannot be drawn from {len(crops)} crops")
    _, numbers = np.unique(vehicles.identity[crops], return_inverse=True)
    order = rng.permutation(numbers.max() + 1)[numbers]
    return crops[np.argsort(order, kind="stable")[: size + num_spare]]


def _ask(vehicles: Vehicles, queries: NDArray[np.int64], gallery: NDArray[np.int64], size: int) -> Iterator[Trials]:
    """The trials of queries (Q,) and a gallery (G,), both rows of the vehicles; `size` records answer each."""
    answers = vehicles.embedding[gallery]
    squares = np.einsum("gd,gd->g", answers, answers)
    step = max(1, _CHUNK_BYTES // (8 * len(gallery)))
    for start in range(0, len(queries), step):
        asked = queries[start : start + step]
        crops = vehicles.embedding[asked]
        # |q - g|^2 without the query's own square, which changes no order. The distances are computed anew below.
        rough = squares - 2 * (crops @ answers.T)
        is_own = vehicles.identity[asked, np.newaxis] == vehicles.identity[gallery]
        may_answer = vehicles.frame[asked, np.newaxis] != vehicles.frame[gallery]
        for is_known in (True, False):
            searched = _first(may_answer if is_known else may_answer & ~is_own, size)
            # Not a vehicle of which no other crop is there; nor where nothing is left to be searched.
            counts = np.any(searched & is_own if is_known else searched, axis=1)
            yield _nearest(vehicles, asked, gallery, np.where(searched, rough, np.inf), is_known=is_known).where(counts)


def _first(chosen: NDArray[np.bool], number: int) -> NDArray[np.bool]:
    """Of those that are chosen in each row (Q, G), the first so many."""
    return np.asarray(chosen & (np.cumsum(chosen, axis=1) <= number))


def _nearest(
    vehicles: Vehicles,
    asked: NDArray[np.int64],
    gallery: NDArray[np.int64],
    rough: NDArray[np.float32],
    *,
    is_known: bool,
) -> Trials:
    """What queries (Q,) find in a gallery (G,) by rough distances (Q, G), infinite where there is nothing to find."""
    num_kept = min(DEPTH, len(gallery))
    found = np.argpartition(rough, num_kept - 1, axis=1)[:, :num_kept]
    is_there = np.isfinite(np.take_along_axis(rough, found, axis=1))
    distance = np.empty(found.shape)
    for column in range(num_kept):
        difference = vehicles.embedding[asked] - vehicles.embedding[gallery[found[:, column]]]
        distance[:, column] = np.sqrt(np.einsum("qd,qd->q", difference, difference, dtype=np.float64))
    distance[~is_there] = np.inf
    match = np.where(is_there, vehicles.identity[gallery[found]], NOBODY)
    order = np.argsort(distance, axis=1, kind="stable")
    filler = ((0, 0), (0, DEPTH - num_kept))
    return Trials(
        np.pad(np.take_along_axis(distance, order, axis=1), filler, constant_values=np.inf),
        np.pad(np.take_along_axis(match, order, axis=1), filler, constant_values=NOBODY),
        vehicles.identity[asked],
        np.full(len(asked), is_known),
        np.isfinite(rough).sum(axis=1),
    )
