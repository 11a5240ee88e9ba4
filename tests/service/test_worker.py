import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model.embedder import Embedder, EmbeddingError, Embeddings
from service.worker import EmbeddingWorker, QueueFullError, TooManyImagesError


class Gate(Embedder):
    """Stands in for the network: an image of value v has the embedding [v], once the gate is open; 255 is poison."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.batches: list[list[int]] = []

    def embed_prepared(self, images: NDArray[np.uint8]) -> Embeddings:
        values = images[:, 0, 0, 0]
        self.batches.append(values.tolist())
        self.entered.set()
        self.open.wait(10)
        if (values == 255).any():
            raise EmbeddingError("poison")
        return Embeddings(
            values[:, None].astype(np.float32), np.tile(np.eye(2, 3, dtype=np.float32), (len(values), 1, 1))
        )


def image(value: int) -> NDArray[np.uint8]:
    return np.full((2, 2, 3), value, np.uint8)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def worker(gate: Gate) -> Any:
    worker = EmbeddingWorker(gate, capacity=8, max_batch=4)
    yield worker
    gate.open.set()
    worker.close()


def busy(worker: EmbeddingWorker, gate: Gate) -> Any:
    """Lets the worker hang in a batch of one, so that the next batch forms behind it; its request takes one place."""
    admission = worker.admit(1, urgent=False)
    admission.submit(image(0))
    assert gate.entered.wait(10)
    return admission


def test_a_batch_is_whatever_waits(worker: EmbeddingWorker, gate: Gate) -> None:
    busy(worker, gate)
    with worker.admit(6, urgent=False) as admission:
        futures = [admission.submit(image(value)) for value in range(1, 7)]
        gate.open.set()
        assert [future.result(10).embedding.tolist() for future in futures] == [[value] for value in range(1, 7)]
    assert gate.batches == [[0], [1, 2, 3, 4], [5, 6]]


def test_queries_go_first_and_enrolments_do_not_starve(worker: EmbeddingWorker, gate: Gate) -> None:
    busy(worker, gate)
    with worker.admit(3, urgent=False) as patient, worker.admit(4, urgent=True) as urgent:
        futures = [patient.submit(image(value)) for value in (1, 2, 3)]
        futures += [urgent.submit(image(value)) for value in (11, 12, 13, 14)]
        gate.open.set()
        for future in futures:
            future.result(10)
    assert gate.batches == [[0], [11, 12, 13, 1], [14, 2, 3]]


def test_a_request_is_admitted_whole_or_refused_whole(worker: EmbeddingWorker, gate: Gate) -> None:
    busy(worker, gate)
    with pytest.raises(QueueFullError, match="8 vehicles came and there is room for 7") as refused:
        worker.admit(8, urgent=False)
    assert 1 <= refused.value.retry_after_s <= 60
    with worker.admit(7, urgent=False), pytest.raises(QueueFullError):
        worker.admit(1, urgent=True)
    worker.admit(7, urgent=True).__exit__(None, None, None)


def test_what_can_never_fit_is_not_told_to_come_again(worker: EmbeddingWorker) -> None:
    with pytest.raises(TooManyImagesError, match="9 vehicles in one request, at most 8"):
        worker.admit(9, urgent=False)


def test_room_is_given_back_at_the_end_of_the_request(worker: EmbeddingWorker, gate: Gate) -> None:
    gate.open.set()
    for _ in range(10):
        with worker.admit(8, urgent=False) as admission:
            futures = [admission.submit(image(1)) for _ in range(5)]
            for future in futures:
                future.result(10)
            with pytest.raises(QueueFullError):
                worker.admit(1, urgent=True)  # the request still has to store them
        worker.admit(8, urgent=False).__exit__(None, None, None)


def test_what_a_request_left_behind_is_not_embedded(worker: EmbeddingWorker, gate: Gate) -> None:
    busy(worker, gate)
    with worker.admit(3, urgent=False) as admission:
        futures = [admission.submit(image(value)) for value in (1, 2, 3)]
    assert all(future.cancelled() for future in futures)
    assert not worker._patient  # nor does it wait in the memory
    assert admission.submit(image(4)).cancelled()
    gate.open.set()
    with worker.admit(7, urgent=True) as after:
        after.submit(image(9)).result(10)
    assert [value for batch in gate.batches for value in batch] == [0, 9]


def test_one_poisonous_image_fails_alone(worker: EmbeddingWorker, gate: Gate) -> None:
    busy(worker, gate)
    with worker.admit(3, urgent=False) as admission:
        good, bad, other = (admission.submit(image(value)) for value in (1, 255, 2))
        gate.open.set()
        assert good.result(10).embedding.tolist() == [1]
        assert other.result(10).embedding.tolist() == [2]
        with pytest.raises(EmbeddingError, match="poison"):
            bad.result(10)


def test_more_than_admitted_is_a_programming_error(worker: EmbeddingWorker, gate: Gate) -> None:
    gate.open.set()
    with worker.admit(1, urgent=False) as admission:
        admission.submit(image(1)).result(10)
        with pytest.raises(RuntimeError, match="more images"):
            admission.submit(image(2))


def test_closing_cancels_what_waits(gate: Gate) -> None:
    worker = EmbeddingWorker(gate, capacity=8, max_batch=4)
    busy(worker, gate)
    waiting = worker.admit(1, urgent=False).submit(image(1))
    threading.Timer(0.05, gate.open.set).start()
    worker.close()
    assert waiting.cancelled()
    assert worker.admit(1, urgent=False).submit(image(2)).cancelled()
