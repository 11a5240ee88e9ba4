"""The device that embeds, and whether it works: its failures are nobody's image's fault."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from model.embedder import Embedder
from model.embeddings import EmbeddingError, Embeddings
from service.batch_limit import BatchLimit
from service.device_errors import is_context_broken, is_out_of_memory
from service.instruments.instruments import Instruments

_LOG = logging.getLogger(__name__)

_FAILURES_UNTIL_FAILING: Final = 2
_HANGS_S: Final = 120.0


class DeviceError(RuntimeError):
    """The device failed, or the network on it: no image is at fault, and the same request may succeed later."""

    retry_after_s = 5


class DeviceBrokenError(DeviceError):
    """The device failed so that this process cannot use it any more; the next process can."""

    retry_after_s = 15


class BatchTooLargeError(Exception):
    """The device has no memory for so many images at once, and may have it for the half of them."""


class Device:
    """An embedder that knows what its device can bear. Not thread-safe, but for reading what it knows.

    It counts the batches that the device failed on, and for how many images at once there is no memory.
    """

    def __init__(self, embedder: Embedder, instruments: Instruments | None = None) -> None:
        self._embedder = embedder
        self._instruments = instruments or Instruments()
        self._limit = BatchLimit()
        self._num_failures = 0  # batches in a row
        self._failing: str | None = None
        self._busy_since: float | None = None

    @property
    def failing(self) -> str | None:
        """Why the device failed on the last two batches or more, or that it does not come back from one.

        None as long as it works. One batch that succeeds ends it.
        """
        since = self._busy_since
        if since is not None and (seconds := time.monotonic() - since) > _HANGS_S:
            return f"the device that embeds has been at one batch for {seconds:.0f} s: if it hangs, restart the service"
        return self._failing

    @property
    def most_images(self) -> int:
        """For so many at once there is memory, as far as is known."""
        return self._limit.num_images

    def pausing(self, pause: Callable[[], None]) -> AbstractContextManager[None]:
        """As `Embedder.pausing`: `pause` may call `embed` while a batch is under way."""
        return self._embedder.pausing(pause)

    def embed(self, images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]) -> Embeddings:
        """One batch of preprocessed images (N, S, S, 3) through the network at once.

        Raises:
            EmbeddingError: a number in an embedding is not finite, so that at least one of the images is at fault.
            BatchTooLargeError: there is no memory for so many; of one image alone, beside the batch that lets it in.
            DeviceBrokenError: the network raised what no process survives.
            DeviceError: the network raised anything else.
        """
        if len(images) > self.most_images:
            raise BatchTooLargeError(f"{len(images)} images, at most {self.most_images} fit into the device's memory")
        is_let_in = self._busy_since is not None
        self._busy_since = time.monotonic()
        embeddings: Embeddings | None = None
        try:
            embeddings = self._embedder.embed_prepared(np.asarray(images))
        except EmbeddingError:
            raise
        except Exception as error:
            if not is_out_of_memory(error) or (len(images) == 1 and not is_let_in):
                failure = failure_of(error)
                self._count_failure(failure, error)
                raise failure from error
        finally:
            self._busy_since = time.monotonic() if is_let_in else None
        # By now the error is gone, and with it the frames that held what did fit of the batch.
        if embeddings is None:
            self._note_too_many(len(images))
            raise BatchTooLargeError(f"{len(images)} images did not fit into the device's memory")
        self._note_success(len(images))
        return embeddings

    def _note_too_many(self, num_images: int) -> None:
        self._instruments.halved_batches.inc()
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()  # blocks of other sizes keep smaller batches, and others, from the memory
        if num_images == 1:  # it fits as soon as it is alone
            return
        if not self._limit.is_limited:
            _LOG.warning(
                "there is no memory for %d images at once on the device that embeds: they are embedded in halves; if "
                "it lasts, lower SANET_MAX_BATCH or free memory there",
                num_images,
            )
        self._limit.note_too_many(num_images)

    def _note_success(self, num_images: int) -> None:
        was_limited = self._limit.is_limited
        self._limit.note_fit(num_images)
        if was_limited and not self._limit.is_limited:
            _LOG.warning("there is memory again for %d images at once on the device that embeds", num_images)
        if self._num_failures:
            _LOG.warning("the device works again; batches that it failed on: %d", self._num_failures)
        self._num_failures = 0
        self._failing = None

    def _count_failure(self, failure: DeviceError, cause: Exception) -> None:
        # Logged when it begins and when it lasts, not for every request.
        self._num_failures += 1
        if self._num_failures == 1:
            _LOG.error("%s", failure, exc_info=cause)
        if self._num_failures == _FAILURES_UNTIL_FAILING:
            _LOG.error("the device failed on %d batches in a row: not ready until it works", self._num_failures)
            self._failing = str(failure)


def failure_of(error: Exception) -> DeviceError:
    """What a device's error means for those who wait."""
    reason = f"the device that embeds failed, and no image is at fault: {one_line(error)}"
    if is_context_broken(error):
        return DeviceBrokenError(f"{reason}; this process cannot use it any more and ends: the next one can")
    return DeviceError(reason)


def one_line(error: Exception) -> str:
    """What an error of torch says in its first line: it goes on with advice for its developers."""
    silent = "there is not enough memory" if isinstance(error, MemoryError) else "it gave no reason"
    return str(error).strip().partition("\n")[0] or silent
