"""The device that embeds, and whether it works: its failures are nobody's image's fault."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.embedder import Embedder
from model.embeddings import EmbeddingError, Embeddings

_LOG = logging.getLogger(__name__)

_FAILURES_UNTIL_FAILING: Final = 2
_HANGS_S: Final = 120.0


class DeviceError(RuntimeError):
    """The device failed, or the network on it: no image is at fault, and the same request may succeed later."""

    retry_after_s = 5


class Device:
    """An embedder that counts the batches its device failed on. Not thread-safe, but for reading `failing`."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
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

    def pausing(self, pause: Callable[[], None]) -> AbstractContextManager[None]:
        """As `Embedder.pausing`: `pause` may call `embed` while a batch is under way."""
        return self._embedder.pausing(pause)

    def embed(self, images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]) -> Embeddings:
        """One batch of preprocessed images (N, S, S, 3) through the network at once.

        Raises:
            EmbeddingError: a number in an embedding is not finite, so that at least one of the images is at fault.
            DeviceError: the network raised anything else.
        """
        paused = self._busy_since is not None  # a batch that lets this one in
        self._busy_since = time.monotonic()
        try:
            embeddings = self._embedder.embed_prepared(np.asarray(images))
        except EmbeddingError:
            raise
        except Exception as error:
            failure = DeviceError(f"the device that embeds failed, and no image is at fault: {one_line(error)}")
            self._count_failure(failure, error)
            raise failure from error
        finally:
            self._busy_since = time.monotonic() if paused else None
        if self._num_failures:
            _LOG.warning("the device works again; batches that it failed on: %d", self._num_failures)
        self._num_failures = 0
        self._failing = None
        return embeddings

    def _count_failure(self, failure: DeviceError, cause: Exception) -> None:
        # Logged when it begins and when it lasts, not for every request.
        self._num_failures += 1
        if self._num_failures == 1:
            _LOG.error("%s", failure, exc_info=cause)
        if self._num_failures == _FAILURES_UNTIL_FAILING:
            _LOG.error("the device failed on %d batches in a row: not ready until it works", self._num_failures)
            self._failing = str(failure)


def one_line(error: Exception) -> str:
    """What an error of torch says in its first line: it goes on with advice for its developers."""
    silent = "there is not enough memory" if isinstance(error, MemoryError) else "it gave no reason"
    return str(error).strip().partition("\n")[0] or silent
