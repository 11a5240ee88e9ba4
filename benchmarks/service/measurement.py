"""A running service, its clients and the floors, each in a process of its own."""

import json
import multiprocessing
import signal
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from benchmarks.live_service import LiveService
from benchmarks.service import clients, floors
from benchmarks.service.clients import Load
from benchmarks.service.connection import Answer
from benchmarks.service.crops import crop, crops
from benchmarks.service.requests import get, post_files
from model.cores import usable_cores
from model.precision import Precision

_FILES_EACH: Final = 16
_ENROLLING: Final = 8
_ENROLLING_ONE: Final = 64
_OVERLOAD: Final = 3.0
QUEUE: Final = 512
"""Places of the queue, as few as there may be: it is soon full."""

_SETTLED: Final = 0.1  # of the time of an overload
_WARM_UP_S: Final = 2.0
_NO_END_S: Final = 1e9


class Measurement:
    """Measures one service, as a ``with`` block. The service must run, and be used by nobody else.

    Args:
        service: with a queue of `QUEUE` places, and the default batches.
        checkpoint: that it serves.
        precision: in which it computes.
    """

    def __init__(self, service: LiveService, checkpoint: Path, precision: Precision) -> None:
        self._service = service
        url = service.client.base_url
        self._address = url.host, url.port or 0
        self._model = checkpoint, precision
        context = multiprocessing.get_context("spawn")
        self._clients = ProcessPoolExecutor(1, context)
        self._floors = ProcessPoolExecutor(1, context)
        self._next_number = len(crops())

    def queries(self, num_clients: Sequence[int], seconds: float) -> list[dict[str, Any]]:
        """A row for each number of clients: what a query takes, and what of it is neither embedding nor searching."""
        self._enrol_crops()
        requests = [post_files("/query", "image", [file]) for file in crops()]
        decode_ms = self._floor(floors.decode_ms)
        rows = []
        for num in num_clients:
            self._ask(clients.ask_in_turns, requests, num, min(seconds, _WARM_UP_S))
            nothing = self._ask(clients.ask_in_turns, [get("/healthz")], 1, min(seconds, _WARM_UP_S))
            load = self._ask(clients.ask_in_turns, requests, num, seconds)
            _require(load, 200)
            total = [_milliseconds(answer) for answer in load.answers]
            timings = [json.loads(answer.body)["timing_ms"] for answer in load.answers]
            overhead = [ms - timing["embed"] - timing["search"] for ms, timing in zip(total, timings, strict=True)]
            healthz_ms = statistics.median(map(_milliseconds, nothing.answers))
            rows.append(
                {
                    "what": "queries",
                    "clients": num,
                    "queries": len(total),
                    "queries_per_s": len(total) / load.wall_s,
                    **_percentiles("total", total),
                    **_percentiles("overhead", overhead),
                    **{
                        f"{stage}_p50_ms": statistics.median(timing[stage] for timing in timings)
                        for stage in ("decode", "embed", "search")
                    },
                    "healthz_p50_ms": healthz_ms,
                    "bare_decode_ms": decode_ms,
                    "overhead_floor_ms": healthz_ms + decode_ms,
                    "client_cpu_share": _cpu_share(load),
                }
            )
        return rows

    def enrolment(self, num_rounds: int, seconds: float) -> list[dict[str, Any]]:
        """A row for each round: images that are enrolled in a second, beside the bare embedder's."""
        rows = []
        for _ in range(num_rounds):
            bare = self._floor(floors.bare_images_per_s, seconds)
            load = self._enrol_in_turns(_FILES_EACH, _ENROLLING, seconds)
            rate = _steady_rate(load) * _FILES_EACH
            rows.append(
                {
                    "what": "enrolment",
                    "images_per_s": rate,
                    "bare_images_per_s": bare,
                    "share": rate / bare,
                    "client_cpu_share": _cpu_share(load),
                }
            )
        return rows

    def overload(self, num_rounds: int, seconds: float) -> list[dict[str, Any]]:
        """A row for each round: what is enrolled of three times the most, beside the most."""
        rows = []
        for _ in range(num_rounds):
            peak = _steady_rate(self._enrol_in_turns(1, _ENROLLING_ONE, seconds))
            offered = _OVERLOAD * peak
            first = self._numbers(QUEUE + round(offered * seconds))
            load = self._ask(clients.enrol_at_rate, first, QUEUE, offered, seconds)
            # From when the queue is full until nothing more is sent.
            start = min(answer.sent_at for answer in load.answers) + _SETTLED * seconds
            end = max(answer.sent_at for answer in load.answers)
            seen = [answer for answer in load.answers if start <= answer.answered_at <= end]
            num = Counter(answer.status for answer in seen)
            rows.append(
                {
                    "what": "overload",
                    "peak_images_per_s": peak,
                    "offered_images_per_s": offered,
                    "images_per_s": num[201] / (end - start),
                    "share": num[201] / (end - start) / peak,
                    "refused_share": num[429] / len(seen),
                    "other_answers": len(seen) - num[201] - num[429],
                    "client_cpu_share": _cpu_share(load),
                }
            )
        return rows

    def memory(self, num_requests: int) -> dict[str, Any]:
        """How the process grows over so many requests, queries and images that are there already in turns."""
        self._enrol_crops()
        requests = []
        for number, file in enumerate(crops()):
            requests += [
                post_files("/query", "image", [file]),
                post_files("/gallery", "images", [crop(number)]),
                get("/gallery?limit=5"),
            ]
        sizes_mb = []
        num_left, num_steps = num_requests, min(num_requests, 40)
        for step in range(num_steps):
            num = num_left // (num_steps - step)
            num_left -= num
            _require(self._ask(clients.ask_in_turns, requests, 8, _NO_END_S, num), 200)
            sizes_mb.append(self._service.resident_mb)
        # The first quarter is what every process grows by before it has met everything.
        quarter = max(1, num_steps // 4)
        begin, end = statistics.median(sizes_mb[quarter : 2 * quarter]), statistics.median(sizes_mb[-quarter:])
        return {
            "what": "memory",
            "requests": num_requests,
            "resident_mb": sizes_mb,
            "second_quarter_mb": begin,
            "last_quarter_mb": end,
            "growth": end / begin - 1,
        }

    def _enrol_in_turns(self, files_each: int, num_clients: int, seconds: float) -> Load:
        # They are as many as are answered in time: no other load gets numbers from the same million.
        first = self._numbers(1_000_000)
        load = self._ask(clients.enrol_in_turns, first, files_each, num_clients, seconds)
        _require(load, 201)
        return load

    def _enrol_crops(self) -> None:
        """Makes each crop be in the gallery; it is there once, however often this is called."""
        request = post_files("/gallery", "images", [crop(number) for number in range(len(crops()))])
        self._ask(clients.ask_in_turns, [request], 1, _NO_END_S, 1)

    def _numbers(self, num: int) -> int:
        """The first of so many numbers that no picture has had yet."""
        first = self._next_number
        self._next_number += num
        return first

    def _ask(self, ask: Callable[..., Load], *arguments: Any) -> Load:
        return self._clients.submit(ask, self._address, *arguments).result()

    def _floor(self, measure: Callable[..., float], *arguments: Any) -> float:
        """While the service's process does nothing at all."""
        self._service.send_signal(signal.SIGSTOP)
        try:
            return self._floors.submit(measure, *self._model, *arguments).result()
        finally:
            self._service.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clients.shutdown()
        self._floors.shutdown()


def _milliseconds(answer: Answer) -> float:
    return 1000 * (answer.answered_at - answer.sent_at)


def _percentiles(name: str, values: Sequence[float]) -> dict[str, float]:
    return {f"{name}_p{percent}_ms": float(np.percentile(values, percent)) for percent in (50, 95, 99)}


def _steady_rate(load: Load) -> float:
    """Answers each second, from the first one on: before it, the service only begins."""
    times = sorted(answer.answered_at for answer in load.answers)
    if len(times) < 2:
        raise RuntimeError("fewer than two requests were answered: take more --seconds")
    return (len(times) - 1) / (times[-1] - times[0])


def _cpu_share(load: Load) -> float:
    """Of the machine's time, what the clients themselves took: they take it from the service."""
    return load.cpu_s / load.wall_s / usable_cores()


def _require(load: Load, status: int) -> None:
    wrong = [answer for answer in load.answers if answer.status not in (200, status)]
    if wrong:
        raise RuntimeError(f"a request was answered {wrong[0].status}: {wrong[0].body[:500].decode()}")
