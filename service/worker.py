"""The embedding worker: one thread that owns the model and its device, fed by a bounded queue."""

import logging
import math
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from opentelemetry.trace import SpanContext, get_current_span

from model.embedder import Embedder
from model.embeddings import EmbeddingError, Embeddings
from service.device import BatchTooLargeError, Device, DeviceBrokenError, DeviceError, failure_of
from service.instruments.instruments import Instruments

_LOG = logging.getLogger(__name__)

_MAX_RETRY_AFTER_S: Final = 60
_BACKGROUND_SHARE: Final = 4
# A background batch stands back for the share of so long at least, also when it has just begun.
_SLICE_S: Final = 0.002
_PROBE_EVERY_S: Final = 2.0
_CLOSE_S: Final = 20.0


class QueueFullError(Exception):
    """There is no room for the whole request now; there will be in about `retry_after_s` seconds."""

    def __init__(self, num_images: int, free: int, retry_after_s: int) -> None:
        super().__init__(
            f"{num_images} vehicles came and there is room for {free}: "
            f"nothing of the request was done; send it again in {retry_after_s} s"
        )
        self.retry_after_s = retry_after_s


class TooManyImagesError(ValueError):
    """More images in one request than the queue can ever hold."""


class Embedded(NamedTuple):
    """One image's embedding (D,) float32 and theta (2, 3) float32."""

    embedding: NDArray[np.float32]
    theta: NDArray[np.float32]


class Queue(NamedTuple):
    """Images of requests under way, which hold a place each, and what of it is decoded and waits for the device."""

    num_query_images: int
    num_enrolment_images: int
    num_waiting_queries: int
    num_waiting_enrolments: int
    num_waiting_batches: int


class _Batch(NamedTuple):
    images: NDArray[np.uint8]
    future: Future[Embeddings]
    device: Device


class _Job(NamedTuple):
    image: NDArray[np.uint8]
    future: Future[Embedded]
    request: SpanContext


class Admission:
    """Room for one request's images, given back when the block is left."""

    def __init__(self, worker: "EmbeddingWorker", num_images: int, *, urgent: bool) -> None:
        self._worker = worker
        self._num_images = num_images
        self._urgent = urgent
        self._futures: list[Future[Embedded]] = []
        self._left = False
        self._lock = threading.Lock()

    def submit(self, image: NDArray[np.uint8]) -> Future[Embedded]:
        """Queues one preprocessed image (S, S, 3) uint8; from any thread. After the block it is cancelled at once."""
        job = _Job(image, Future(), get_current_span().get_span_context())
        with self._lock:
            if self._left:
                job.future.cancel()
                return job.future
            if len(self._futures) == self._num_images:
                raise RuntimeError("more images were submitted than admitted")
            self._futures.append(job.future)
            self._worker._enqueue(job, urgent=self._urgent)
        return job.future

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # On a failure or a cancelled request the rest need not be embedded; after success all are done already.
        with self._lock:
            self._left = True
            num_cancelled = sum([future.cancel() for future in self._futures])
            self._worker._leave(self._num_images, urgent=self._urgent, has_cancelled=num_cancelled > 0)


class EmbeddingWorker:
    """Embeds images in the order they came, whatever waits at once, up to `max_batch`.

    There is no fixed delay to gather a batch: while the device is busy the next one forms by itself. Queries go
    before enrolments, yet each batch keeps one place for the latter, so that neither ever starves.

    Whole batches of the service's own go last, and begin at every `_BACKGROUND_SHARE`-th turn at least. One that is
    under way stops between two layers, lets others in and stands back while a query is decoded; it gets one part of the
    time where they get `_BACKGROUND_SHARE`.

    Images count from their request's admission until its end, so that `capacity` also bounds what is being decoded
    and what waits to be stored. A request is admitted whole or refused whole. Queries have `max_queries` places of
    their own, so that no import ever turns them away.

    A batch for which the device has no memory is embedded in halves, down to single images, and batches stay so small
    for a while (`BatchLimit`); no image fails for it that fits alone.

    Where the network raises anything else but `EmbeddingError`, the device is at fault: the whole batch fails with
    `DeviceError`. After two such batches in a row `device_failing` says why, until one succeeds; meanwhile an empty
    image is embedded every few seconds, so that the device is found working again without any request.

    Attributes:
        device_broken: why this process cannot use its device any more, and has to end; None as long as it can.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        capacity: int,
        max_batch: int,
        max_queries: int = 64,
        instruments: Instruments | None = None,
    ) -> None:
        self._embedder = embedder
        self._instruments = instruments or Instruments()
        self._device = Device(embedder, self._instruments)
        self.device_broken: str | None = None
        self.capacity = capacity
        self.max_queries = max_queries
        self._max_batch = max_batch
        self._free_places = capacity
        self._free_query_places = max_queries
        self._urgent: deque[_Job] = deque()
        self._enrolments: deque[_Job] = deque()
        self._background: deque[_Batch] = deque()
        self._since_background = 0
        self._had_enrolments = False  # the last batch
        self._postponed: list[_Job] = []
        self._changed = threading.Condition()
        self._closing = False
        self._seconds_per_image = 0.1  # until the first batch was timed
        self._thread = threading.Thread(target=self._run, name="embedding-worker", daemon=True)
        self._thread.start()

    @property
    def device_failing(self) -> str | None:
        """Why the device failed on the last batches; None as long as it works."""
        return self.device_broken or self._device.failing

    @property
    def most_images(self) -> int:
        """Of one batch: `max_batch`, or fewer after the device had no memory for so many."""
        return min(self._max_batch, self._device.most_images)

    @property
    def queue(self) -> Queue:
        """How full it is now."""
        with self._changed:
            return Queue(
                num_query_images=self.max_queries - self._free_query_places,
                num_enrolment_images=self.capacity - self._free_places,
                num_waiting_queries=len(self._urgent),
                num_waiting_enrolments=len(self._enrolments),
                num_waiting_batches=len(self._background),
            )

    @property
    def has_queries(self) -> bool:
        """Whether a query is under way: admitted, and its request not yet at its end."""
        return self._free_query_places < self.max_queries

    def admit(self, num_images: int, *, urgent: bool) -> Admission:
        """Reserves room for a whole request, a query's if `urgent`; to be used as a ``with`` block.

        Raises:
            QueueFullError: there is not enough room now.
            TooManyImagesError: there never will be.
        """
        places = self.max_queries if urgent else self.capacity
        if num_images > places:
            raise TooManyImagesError(
                f"{num_images} vehicles in one request, at most {places} fit into the queue: split the request"
            )
        with self._changed:
            self._require_room(num_images, urgent=urgent)
            if urgent:
                self._free_query_places -= num_images
            else:
                self._free_places -= num_images
        return Admission(self, num_images, urgent=urgent)

    def require_room(self, *, urgent: bool) -> None:
        """Returns if one more image would be admitted now; for refusing a request before its body is read.

        Raises:
            QueueFullError: there is no room at all.
        """
        with self._changed:
            self._require_room(1, urgent=urgent)

    def embed_batch(self, images: NDArray[np.uint8], guest: Device | None = None) -> Future[Embeddings]:
        """Queues a whole batch (N, S, S, 3) uint8 that is embedded as it is, so that its numbers can be repeated.

        Where the device has no memory for it, it is embedded in parts, and the last digits of its numbers are others.
        It takes no place of the queue; for the service's own work, one batch after the other. A `guest` embeds it, in
        this worker's thread, if it is another network's.
        """
        batch = _Batch(images, Future(), guest or self._device)
        with self._changed:
            if self._closing:
                batch.future.cancel()
            else:
                self._background.append(batch)
                self._changed.notify()
        return batch.future

    def raise_if_broken(self, error: Exception) -> None:
        """For others who use the device, such as a search: what they met there may be the end of it for all.

        Raises:
            DeviceBrokenError: it is.
        """
        failure = failure_of(error)
        if isinstance(failure, DeviceBrokenError):
            self.device_broken = str(failure)
            raise failure from error

    def close(self) -> bool:
        """Finishes the batch under way, cancels what waits, and ends the thread.

        Returns whether it ended: a device that hangs is not waited for longer than `_CLOSE_S`.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            _LOG.error("the device is still at its last batch after %d s: not waited for any longer", _CLOSE_S)
        return not self._thread.is_alive()

    def _enqueue(self, job: _Job, *, urgent: bool) -> None:
        with self._changed:
            if self._closing:
                job.future.cancel()
                return
            (self._urgent if urgent else self._enrolments).append(job)
            self._changed.notify()

    def _require_room(self, num_images: int, *, urgent: bool) -> None:
        free = self._free_query_places if urgent else self._free_places
        if num_images <= free:
            return
        # So many images have to be embedded until the room is there. Queries that wait go before an enrolment.
        num_before = num_images - free + (0 if urgent else len(self._urgent))
        seconds = math.ceil(num_before * self._seconds_per_image)
        raise QueueFullError(num_images, free, min(max(seconds, 1), _MAX_RETRY_AFTER_S))

    def _leave(self, num_images: int, *, urgent: bool, has_cancelled: bool) -> None:
        with self._changed:
            if urgent:
                self._free_query_places += num_images
            else:
                self._free_places += num_images
            # What was cancelled must not fill the memory until the device is free. All that waits is looked at for it.
            if has_cancelled:
                self._urgent = deque(job for job in self._urgent if not job.future.cancelled())
                self._enrolments = deque(job for job in self._enrolments if not job.future.cancelled())
            self._changed.notify()  # a background batch may go on

    def _run(self) -> None:
        shape = None  # of the images that the network takes, once one was seen
        while True:
            with self._changed:
                timeout_s = _PROBE_EVERY_S if self._device.failing else None
                idle = not self._changed.wait_for(self._something_waits, timeout_s)
                if self._closing:
                    for job in [*self._urgent, *self._enrolments]:
                        job.future.cancel()
                    for waiting in self._background:
                        waiting.future.cancel()
                    return
                jobs = self._next_jobs()
                turn = not jobs or self._since_background >= _BACKGROUND_SHARE
                background = self._background.popleft() if self._background and turn else None
                self._since_background = self._since_background + 1 if self._background and not background else 0
            batch = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            if batch:
                shape = batch[0].image.shape
                self._embed(batch)
            # After them: it stands back for those that wait, and would not know of these.
            if background is not None and background.future.set_running_or_notify_cancel():
                if background.device is self._device:
                    shape = background.images.shape[1:]
                self._embed_background(background)
            if idle and shape is not None:
                self._probe(shape)

    def _something_waits(self) -> bool:
        return bool(self._urgent or self._enrolments or self._background or self._closing)

    def _next_jobs(self) -> list[_Job]:
        most = self.most_images
        # A batch of one image has no place to keep: there, every second one may be an enrolment's.
        keeps_place = bool(self._enrolments) and (most > 1 or not self._had_enrolments)
        num_urgent = min(len(self._urgent), most - keeps_place)
        num_enrolments = min(len(self._enrolments), most - num_urgent)
        self._had_enrolments = num_enrolments > 0
        return [self._urgent.popleft() for _ in range(num_urgent)] + [
            self._enrolments.popleft() for _ in range(num_enrolments)
        ]

    def _embed_background(self, batch: _Batch) -> None:
        start = time.perf_counter()
        others_s = 0.0

        def let_others_in() -> None:
            nonlocal others_s
            stopped = time.perf_counter()
            end = stopped + _BACKGROUND_SHARE * max(stopped - start - others_s, _SLICE_S) - others_s
            while time.perf_counter() < end and self._embed_what_waits(end):
                pass
            others_s += time.perf_counter() - stopped

        try:
            with batch.device.pausing(let_others_in):
                embeddings = self._embed_in_parts(batch.device, batch.images)
        except EmbeddingError as error:
            batch.future.set_exception(error)
        except DeviceError as error:
            self._instruments.failed_batches.inc()
            batch.future.set_exception(error)
        else:
            seconds = max(0.0, time.perf_counter() - start - others_s)  # a difference of sums may be just below zero
            self._instruments.observe_batch("background", len(batch.images), seconds)
            batch.future.set_result(embeddings)
        postponed, self._postponed = self._postponed, []
        if postponed:
            self._embed(postponed)

    def _embed_what_waits(self, end: float) -> bool:
        """Embeds what others wait for, or waits for a query that is under way, until `end` at most.

        Returns False once nobody waits and no query is under way, where there is no memory for others beside what is
        under way, and when the worker is being closed.
        """
        with self._changed:
            if self._closing or self._postponed or not (self.has_queries or self._enrolments):
                return False
            if not (self._urgent or self._enrolments):
                self._changed.wait(end - time.perf_counter())
                return True
            jobs = self._next_jobs()
        batch = [job for job in jobs if job.future.set_running_or_notify_cancel()]
        if batch:
            self._embed(batch)
        return True

    def _probe(self, shape: tuple[int, ...]) -> None:
        # Whether it works is noted; nobody waits for the result.
        with suppress(EmbeddingError, DeviceError, MemoryError):
            self._embed_on(self._device, np.zeros((1, *shape), np.uint8))

    def _embed(self, batch: list[_Job]) -> None:
        start = time.perf_counter()
        try:
            result = self._embed_on(self._device, [job.image for job in batch])
        except BatchTooLargeError:
            if len(batch) == 1:  # beside a batch of the service's own that is under way
                self._postponed += batch
                return
            middle = len(batch) // 2
            self._embed(batch[:middle])
            self._embed(batch[middle:])
            return
        except EmbeddingError as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            # An image without a finite embedding must fail alone: each gets a batch of its own.
            _LOG.warning("a batch of %d failed and is embedded one by one: %s", len(batch), error)
            for job in batch:
                self._embed([job])
            return
        except DeviceError as error:
            self._instruments.failed_batches.inc()
            for job in batch:
                job.future.set_exception(error)
            return
        ended_at = time.perf_counter()
        seconds = ended_at - start
        self._instruments.observe_batch("requests", len(batch), seconds)
        self._instruments.spans.add_batch((job.request for job in batch), len(batch), seconds, ended_at)
        self._seconds_per_image = 0.8 * self._seconds_per_image + 0.2 * seconds / len(batch)
        for job, embedding, theta in zip(batch, result.embedding, result.theta, strict=True):
            job.future.set_result(Embedded(embedding, theta))

    def _embed_in_parts(self, device: Device, images: NDArray[np.uint8]) -> Embeddings:
        """At once, or in halves where there is no memory for that."""
        try:
            return self._embed_on(device, images)
        except BatchTooLargeError:
            middle = len(images) // 2
            halves = [self._embed_in_parts(device, half) for half in (images[:middle], images[middle:])]
            return Embeddings(*(np.concatenate(arrays) for arrays in zip(*halves, strict=True)))

    def _embed_on(self, device: Device, images: NDArray[np.uint8] | list[NDArray[np.uint8]]) -> Embeddings:
        """As `Device.embed`; once it is broken, nothing is asked of it any more."""
        if self.device_broken is not None:
            raise DeviceBrokenError(self.device_broken)
        try:
            return device.embed(images)
        except DeviceBrokenError as error:
            self.device_broken = str(error)
            raise
