"""The counters and histograms of a service: whoever does something counts it here, and a scrape reads them."""

import time
from collections.abc import Iterable
from typing import Final

from opentelemetry.trace import TracerProvider
from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from service.tracing import Spans

STAGES: Final = {
    "query": ("decode", "embed", "search"),
    "enrolment": ("decode", "embed", "store"),
}
"""Of each operation, in their order."""

BATCHES: Final = ("requests", "background")
"""What a batch of the network is for: queries and enrolments, or jobs."""

PROBLEMS: Final = (
    *("queue-full", "uploads-busy", "busy", "too-many-jobs"),
    *("gallery-full", "disk-full", "jobs-not-stored", "audit-not-written"),
    *("device-failed", "gallery-damaged", "internal-error"),
)
"""Types of problems that no client can mend: the service lacks room, its disk is full, or it fails."""

ENROLMENT_STATES: Final = ("enrolled", "duplicate", "rejected")

DECISIONS: Final = ("match", "uncertain", "no_match", "uncalibrated")

# From a refusal, which takes a millisecond, to an enrolment of 256 files.
_REQUEST_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_STAGE_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_BATCH_IMAGES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Instruments:
    """All of one service, in a registry of its own: several services of one process do not count together.

    Every series that has no label of a request is there from the beginning, with zero: an alert sees it rise. Safe to
    use from any thread.

    Attributes:
        registry: what a scrape reads.
        spans: of requests whose traces are sent.
        requests, request_seconds: by route template, method and status; never by what a client may choose freely.
        problems: answers that are problem documents, by the last part of their type.
        failed_batches: batches that the device failed on.
        halved_batches: batches for which it had no memory, and which were embedded in halves.
        expired_records, failed_sweeps: records that were deleted because of their age, and attempts at it that failed.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self.spans = Spans(tracer_provider)
        # When a counter began is of no use to Prometheus 2, and doubles the series. A switch of the whole process.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self.requests = Counter(
            "sanet_http_requests",
            "Requests, by route template, method and status; 499 is a client that did not wait for its answer",
            ["route", "method", "status"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "sanet_http_request_duration_seconds",
            "From a request's header to the beginning of its answer, the upload of its body included",
            ["route", "method"],
            buckets=_REQUEST_S,
            registry=registry,
        )
        self.problems = Counter(
            "sanet_problems",
            "Answers that refuse or fail, by the type of their problem document: queue-full, busy, gallery-full, ...",
            ["type"],
            registry=registry,
        )
        self._stage_seconds = Histogram(
            "sanet_stage_duration_seconds",
            "Stages, with the time for which they wait: of each query, and of each file of an enrolment (decode, "
            "embed) or each enrolment (store)",
            ["operation", "stage"],
            buckets=_STAGE_S,
            registry=registry,
        )
        self._enrolled = Counter(
            "sanet_enrolled_vehicles",
            "Vehicles of POST /gallery, by what became of them",
            ["status"],
            registry=registry,
        )
        self._decisions = Counter(
            "sanet_query_decisions", "Vehicles that were searched for, by decision", ["decision"], registry=registry
        )
        self._batch_images = Histogram(
            "sanet_embedding_batch_images",
            "Images of each batch that the network embedded",
            ["kind"],
            buckets=_BATCH_IMAGES,
            registry=registry,
        )
        self._device_seconds = Counter(
            "sanet_embedding_device_seconds", "Time for which the device embedded", ["kind"], registry=registry
        )
        self.failed_batches = Counter(
            "sanet_embedding_failed_batches", "Batches that the device failed on", registry=registry
        )
        self.halved_batches = Counter(
            "sanet_embedding_halved_batches",
            "Batches for which the device had no memory, and which were embedded in halves",
            registry=registry,
        )
        self.expired_records = Counter(
            "sanet_retention_deleted_records", "Records deleted because of their age", registry=registry
        )
        self.failed_sweeps = Counter(
            "sanet_retention_failed_sweeps", "Sweeps for records that are too old that failed", registry=registry
        )
        self._begin_at_zero()

    def observe_stage(self, operation: str, stage: str, seconds: float, ended_at: float | None = None) -> None:
        """One of `STAGES` of a query or enrolment was passed, just now or when `time.perf_counter` said `ended_at`."""
        self._stage_seconds.labels(operation, stage).observe(seconds)
        self.spans.add(stage, seconds, time.perf_counter() if ended_at is None else ended_at)

    def observe_batch(self, kind: str, num_images: int, seconds: float) -> None:
        """The device embedded a batch, of one of the kinds in `BATCHES`."""
        self._batch_images.labels(kind).observe(num_images)
        self._device_seconds.labels(kind).inc(seconds)

    def count_enrolled(self, states: Iterable[str]) -> None:
        """What became of each vehicle of an enrolment."""
        for state in states:
            self._enrolled.labels(state).inc()

    def count_decision(self, decision: str) -> None:
        """What was decided on one vehicle that was searched for."""
        self._decisions.labels(decision).inc()

    def _begin_at_zero(self) -> None:
        for problem_type in PROBLEMS:
            self.problems.labels(problem_type)
        for operation, stages in STAGES.items():
            for stage in stages:
                self._stage_seconds.labels(operation, stage)
        for kind in BATCHES:
            self._batch_images.labels(kind)
            self._device_seconds.labels(kind)
        for state in ENROLMENT_STATES:
            self._enrolled.labels(state)
        for decision in DECISIONS:
            self._decisions.labels(decision)
