"""Clients that search and write in a large gallery at the same time, as fast as they are answered."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.embedding_model import EmbeddingModel
from benchmarks.large_gallery.drawn_records import CLIENTS, FIRST_OF_CLIENTS, batches
from benchmarks.watched_lock import Waits
from index.gallery.enrolment import Enrolment
from index.gallery.filters import Filter
from index.gallery.gallery import Gallery

_TOP_K: Final = 10


@dataclass
class Calls:
    """What the clients did: milliseconds of each call by its kind, and errors by their text."""

    took_ms: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)

    def call(self, kind: str, work: Callable[[], object]) -> None:
        """Does and times it."""
        start = time.perf_counter()
        try:
            work()
        except Exception as error:
            self.errors[repr(error)[:200]] += 1
        self.took_ms[kind].append(1e3 * (time.perf_counter() - start))


def search_until(gallery: Gallery, queries: NDArray[np.float32], calls: Calls, end: float, seed: int) -> None:
    """A searching client: one question in four for a camera, one for the nearest of each identity."""
    rng = np.random.default_rng(seed)
    while time.monotonic() < end:
        query, kind = queries[rng.integers(len(queries))], int(rng.integers(4))
        if kind == 0:
            where = Filter(cameras=(f"camera {rng.integers(200)}",))
            calls.call("search by camera", partial(gallery.search, query, _TOP_K, where))
        elif kind == 1:
            calls.call("search by identity", partial(gallery.search, query, _TOP_K, Filter(), "identity"))
        else:
            calls.call("search", partial(gallery.search, query, _TOP_K, Filter()))


def write_until(gallery: Gallery, frames: Iterator[list[Enrolment]], calls: Calls, end: float) -> None:
    """A writing client: enrols eight vehicles, changes one of them, deletes another."""
    for batch in frames:
        if time.monotonic() > end:
            return
        one, two = batch[0].record.id, batch[1].record.id
        calls.call("enrol 8", partial(gallery.enrol, batch[:8]))
        calls.call("update", partial(gallery.update, one, {"camera": "another"}))
        calls.call("delete", partial(gallery.delete, two))


def measure_clients(gallery: Gallery, model: EmbeddingModel, waits: Waits, minutes: float) -> dict[str, Any]:
    """20 clients search and 2 write; what these enrolled is deleted afterwards."""
    queries = model.draw(256, 1, np.random.default_rng(1))[:, 0]
    calls = [Calls() for _ in range(22)]
    end = time.monotonic() + 60 * minutes
    clients = [
        threading.Thread(target=search_until, args=(gallery, queries, calls[i], end, i), name=f"reader-{i}")
        for i in range(20)
    ]
    written = [batches(model, FIRST_OF_CLIENTS * (i + 1), 10**7, 1) for i in range(2)]
    clients += [
        threading.Thread(target=write_until, args=(gallery, written[i], calls[20 + i], end), name=f"writer-{i}")
        for i in range(2)
    ]
    waits.longest_s.clear()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    longest_ms = {kind: 1e3 * seconds for kind, seconds in waits.longest_s.items()}
    gallery.delete_passing(Filter(identity=CLIENTS))
    took: dict[str, list[float]] = defaultdict(list)
    for of_client in calls:
        for kind, times in of_client.took_ms.items():
            took[kind] += times
    return {
        "calls": {
            kind: {"num": len(times), **{f"p{p}_ms": float(np.percentile(times, p)) for p in (50, 95, 99)}}
            for kind, times in took.items()
        },
        "errors": dict(sum((of_client.errors for of_client in calls), Counter())),
        "longest_wait_for_a_lock_ms": longest_ms,
    }
