"""How good the service is: its model scored on the held-out manifest, in the background, once after the start."""

import logging
import threading
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from index.datasets.task import Task
from index.gallery.record import ModelKey
from index.ranking.evaluation import evaluate
from model.embedder import Embeddings
from model.preprocessing import Preprocessing
from service.device import DeviceError, one_line
from service.worker import EmbeddingWorker

_LOG = logging.getLogger(__name__)

_CLOSE_S: Final = 5.0
_ATTEMPTS: Final = 12

State = Literal["absent", "running", "done", "failed"]


@dataclass(frozen=True)
class HeldoutStatus:
    """Where the evaluation stands.

    Attributes:
        state: ``absent`` if the service has no held-out set.
        num_done, num_total: images embedded, and all of them.
        error: why it failed.
        result: what ``training.evaluate --json`` prints, once it is done.
    """

    state: State
    num_done: int = 0
    num_total: int = 0
    error: str | None = None
    result: dict[str, Any] | None = None


class HeldoutEvaluation:
    """Runs beside the requests: its batches go to the worker when nothing else waits, or now and then if always.

    A batch that the device failed on is embedded again after a while, as a client would send its request again; only
    a device that fails for about a minute fails the evaluation.
    """

    def __init__(
        self, task: Task | None, preprocessing: Preprocessing, worker: EmbeddingWorker, model: ModelKey, device: str
    ) -> None:
        self._worker, self._model, self._device = worker, model, device
        self._num_done = 0
        self._closing = threading.Event()
        self.status = HeldoutStatus("absent")
        self._thread: threading.Thread | None = None
        if task is not None:
            self.status = HeldoutStatus("running", 0, len(task.entries))
            self._thread = threading.Thread(target=self._run, args=(task, preprocessing), name="heldout", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Waits a little for the thread, which ends with the worker unless it is scoring; it holds nothing open."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_S)

    def _run(self, task: Task, preprocessing: Preprocessing) -> None:
        total = self.status.num_total
        try:
            evaluation = evaluate(task, preprocessing, self._embed, self._count)
        except CancelledError:
            return
        except Exception as error:  # whatever it was, the service answers queries without it
            _LOG.error("the evaluation on the held-out set failed: %s", one_line(error))
            self.status = HeldoutStatus("failed", self._num_done, total, one_line(error))
            return
        result = evaluation.to_dict() | {
            "model": self._model.fingerprint,
            "precision": self._model.precision,
            "device": self._device,
        }
        self.status = HeldoutStatus("done", total, total, None, result)
        _LOG.info("held-out set %s: CMC-1 %.4f, mAP %.4f", task.dataset, evaluation.cmc(1), evaluation.map)

    def _embed(self, images: NDArray[np.uint8]) -> Embeddings:
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._worker.embed_batch(images).result()
            except DeviceError as error:
                self._closing.wait(error.retry_after_s)  # once it closes, the worker cancels the next attempt
        return self._worker.embed_batch(images).result()

    def _count(self, num: int) -> None:
        self._num_done += num
        self.status = HeldoutStatus("running", self._num_done, self.status.num_total)
