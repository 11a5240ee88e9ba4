"""The worker as jobs use it: behind everybody else."""

import os
import sys
import threading
import time
from concurrent.futures import CancelledError
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.embeddings import Embeddings
from service.device import Device, DeviceBrokenError, DeviceError
from service.jobs.running_job import JobInterrupted, RunningJob
from service.worker import EmbeddingWorker

_ATTEMPTS: Final = 12
_LONGEST_PAUSE_S: Final = 0.25
_LOOK_EVERY_S: Final = 0.005


# At five steps below them a thread gets a third of what others get, where they want all.
_STEPS_BELOW: Final = 5
_LOWEST: Final = 19


def step_back() -> None:
    """Lets this thread, and all that it starts from now on, go behind the others where the processors are all busy.

    Linux has a priority for each thread; other systems have one for the process, and there it stays as it is.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        priority = os.getpriority(os.PRIO_PROCESS, thread) + _STEPS_BELOW
        os.setpriority(os.PRIO_PROCESS, thread, min(priority, _LOWEST))


class Background:
    """Embeds for jobs when nothing else waits, or now and then if something always does (`EmbeddingWorker`)."""

    def __init__(self, worker: EmbeddingWorker, guest: Device | None = None) -> None:
        """Embeds with the worker's own network, or with a `guest`'s in the worker's thread."""
        self._worker, self._guest = worker, guest

    def embed(self, job: RunningJob, images: NDArray[np.uint8]) -> Embeddings:
        """One batch of preprocessed images (N, S, S, 3), embedded as it is.

        One that the device failed on is embedded again after a while, as a client would send its request again; only a
        device that fails for about a minute fails the job. A broken one ends the process, and the next goes on with it.

        Raises:
            JobInterrupted: the job has to end; so it is where the worker ends.
            DeviceError: the device keeps failing.
            EmbeddingError: the network gave no embedding of them.
        """
        for _ in range(_ATTEMPTS - 1):
            job.raise_if_interrupted()
            try:
                return self._embed(images)
            except DeviceBrokenError:
                job.wait(threading.TIMEOUT_MAX)
            except DeviceError as error:
                job.wait(error.retry_after_s)
        return self._embed(images)

    def give_way(self) -> None:
        """Returns once no query is under way, after a quarter of a second at the latest.

        For the steps of a job that take a processor for themselves, such as decoding: they are postponed, not stopped.
        """
        end = time.monotonic() + _LONGEST_PAUSE_S
        while self._worker.has_queries and time.monotonic() < end:
            time.sleep(_LOOK_EVERY_S)

    def _embed(self, images: NDArray[np.uint8]) -> Embeddings:
        try:
            return self._worker.embed_batch(images, self._guest).result()
        except CancelledError:
            raise JobInterrupted from None
