"""The device that embeds, and whether it works: its failures are nobody's image's fault."""

import logging
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.embedder import Embedder, EmbeddingError, Embeddings

_LOG = logging.getLogger(__name__)

_FAILURES_UNTIL_FAILING: Final = 2


class DeviceError(RuntimeError):
    """The device failed, or the network on it: no image is at fault, and the same request may succeed later."""

    retry_after_s = 5


class Device:
    """An embedder that counts the batches its device failed on. Not thread-safe, but for reading `failing`.

    Attributes:
        failing: why the device failed on the last two batches or more; None as long as it works. One batch that
            succeeds ends it.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._num_failures = 0  # batches in a row
        self.failing: str | None = None

    def embed(self, images: NDArray[np.uint8]) -> Embeddings:
        """One batch of preprocessed images (N, S, S, 3) through the network at once.

        Raises:
            EmbeddingError: a number in an embedding is not finite, so that at least one of the images is at fault.
            DeviceError: the network raised anything else.
        """
        try:
            embeddings = self._embedder.embed_prepared(images)
        except EmbeddingError:
            raise
        except Exception as error:
            failure = DeviceError(f"the device that embeds failed, and no image is at fault: {one_line(error)}")
            self._count_failure(failure, error)
            raise failure from error
        if self._num_failures:
            _LOG.warning("the device works again; batches that it failed on: %d", self._num_failures)
        self._num_failures = 0
        self.failing = None
        return embeddings

    def _count_failure(self, failure: DeviceError, cause: Exception) -> None:
        # Logged when it begins and when it lasts, not for every request.
        self._num_failures += 1
        if self._num_failures == 1:
            _LOG.error("%s", failure, exc_info=cause)
        if self._num_failures == _FAILURES_UNTIL_FAILING:
            _LOG.error("the device failed on %d batches in a row: not ready until it works", self._num_failures)
            self.failing = str(failure)


def one_line(error: Exception) -> str:
    """What an error of torch says in its first line: it goes on with advice for its developers."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
