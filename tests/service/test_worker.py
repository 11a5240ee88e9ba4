import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.checkpoint import load_checkpoint
from model.embedder import Embedder
from model.embeddings import EmbeddingError, Embeddings
from service.device import Device, DeviceBrokenError, DeviceError
from service.worker import Admission, Embedded, EmbeddingWorker, QueueFullError, TooManyImagesError
from tests.conftest import picture


class Gate(Embedder):
    """Stands in for the network: an image of value v has the embedding [v], once the gate is open; 255 is poison."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.batches: list[list[int]] = []

    @contextmanager
    def pausing(self, pause: Callable[[], None]) -> Iterator[None]:
        yield

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
        worker.admit(1, urgent=False)
    worker.admit(7, urgent=False).__exit__(None, None, None)


def test_queries_have_places_of_their_own(gate: Gate) -> None:
    worker = EmbeddingWorker(gate, capacity=8, max_batch=4, max_queries=2)
    with worker.admit(8, urgent=False):
        with pytest.raises(QueueFullError):
            worker.require_room(urgent=False)
        worker.require_room(urgent=True)
        with worker.admit(1, urgent=True), worker.admit(1, urgent=True):
            for refused in (lambda: worker.admit(1, urgent=True), lambda: worker.require_room(urgent=True)):
                with pytest.raises(QueueFullError, match="1 vehicles came and there is room for 0") as error:
                    refused()
                assert 1 <= error.value.retry_after_s <= 60
        worker.require_room(urgent=True)
    # Queries take no place of the enrolments either.
    with worker.admit(2, urgent=True):
        worker.admit(8, urgent=False).__exit__(None, None, None)
    with pytest.raises(TooManyImagesError, match="3 vehicles in one request, at most 2"):
        worker.admit(3, urgent=True)
    gate.open.set()
    worker.close()


def test_queries_that_wait_lengthen_the_time_until_an_enrolment_has_room(gate: Gate) -> None:
    worker = EmbeddingWorker(gate, capacity=8, max_batch=4, max_queries=64)
    worker._seconds_per_image = 1
    busy(worker, gate)
    with worker.admit(7, urgent=False), worker.admit(5, urgent=True) as urgent:
        for value in range(5):
            urgent.submit(image(value))
        with pytest.raises(QueueFullError) as refused:
            worker.admit(3, urgent=False)
        assert refused.value.retry_after_s == 3 + 5
        with pytest.raises(QueueFullError) as refused:
            worker.admit(62, urgent=True)
        assert refused.value.retry_after_s == 62 - 59
        gate.open.set()
    worker.close()


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
                worker.admit(1, urgent=False)  # the request still has to store them
        worker.admit(8, urgent=False).__exit__(None, None, None)


def test_what_a_request_left_behind_is_not_embedded(worker: EmbeddingWorker, gate: Gate) -> None:
    busy(worker, gate)
    with worker.admit(3, urgent=False) as admission:
        futures = [admission.submit(image(value)) for value in (1, 2, 3)]
    assert all(future.cancelled() for future in futures)
    assert not worker._enrolments  # nor does it wait in the memory
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


class Broken(Gate):
    """Its device fails as long as `fails`; its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.open.set()
        self.fails = True

    def embed_prepared(self, images: NDArray[np.uint8]) -> Embeddings:
        embeddings = super().embed_prepared(images)
        if self.fails:
            raise RuntimeError("CUDA error: operation not supported\nadvice for developers")
        return embeddings


@pytest.fixture
def probed_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.worker._PROBE_EVERY_S", 0.01)


def test_the_whole_batch_fails_with_the_device_and_is_not_tried_one_by_one() -> None:
    broken = Broken()
    broken.open.clear()
    worker = EmbeddingWorker(broken, capacity=8, max_batch=4)
    busy(worker, broken)
    with worker.admit(3, urgent=False) as admission:
        futures = [admission.submit(image(value)) for value in (1, 2, 3)]
        broken.open.set()
        for future in futures:
            with pytest.raises(DeviceError, match=r"no image is at fault: CUDA error: operation not supported$"):
                future.result(10)
    assert broken.batches == [[0], [1, 2, 3]]
    assert DeviceError("").retry_after_s >= 1
    worker.close()


def is_failing(worker: EmbeddingWorker) -> bool:
    return worker.device_failing is not None


def embed_one(worker: EmbeddingWorker, value: int) -> None:
    with worker.admit(1, urgent=True) as admission:
        admission.submit(image(value)).result(10)


def test_two_failures_in_a_row_are_a_failing_device_until_one_batch_succeeds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = Broken()
    worker = EmbeddingWorker(broken, capacity=8, max_batch=4)
    for fails in (True, False, True):
        broken.fails = fails
        if fails:
            with pytest.raises(DeviceError):
                embed_one(worker, 1)
        else:
            embed_one(worker, 1)
        assert not is_failing(worker)
    # A batch of the service's own counts as well.
    with pytest.raises(DeviceError):
        worker.embed_batch(np.stack([image(1)])).result(10)
    assert worker.device_failing is not None
    assert "CUDA error: operation not supported" in worker.device_failing
    with pytest.raises(DeviceError):
        embed_one(worker, 1)
    broken.fails = False
    embed_one(worker, 1)
    assert not is_failing(worker)
    worker.close()
    # Twice that it fails, once that it goes on failing, twice that it works again: not once per batch.
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING", "ERROR", "ERROR", "WARNING"]


@pytest.mark.usefixtures("probed_often")
def test_a_device_that_works_again_is_found_without_any_request() -> None:
    broken = Broken()
    worker = EmbeddingWorker(broken, capacity=8, max_batch=4)
    for _ in range(3):
        with pytest.raises(DeviceError):
            embed_one(worker, 1)
    while len(broken.batches) < 6:
        time.sleep(0.001)
    assert is_failing(worker)
    assert broken.batches[3:6] == [[0]] * 3  # an empty image
    broken.fails = False
    while is_failing(worker):
        time.sleep(0.001)
    num = len(broken.batches)
    time.sleep(0.05)
    assert len(broken.batches) == num  # and it is left in peace
    worker.close()


@pytest.mark.usefixtures("probed_often")
def test_a_worker_with_a_failing_device_closes() -> None:
    worker = EmbeddingWorker(Broken(), capacity=8, max_batch=4)
    for _ in range(3):
        with pytest.raises(DeviceError):
            embed_one(worker, 1)
    worker.close()
    assert not worker._thread.is_alive()


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


def test_a_batch_of_the_services_own_has_the_numbers_of_the_embedder(small_checkpoint: Path) -> None:
    embedder = Embedder(load_checkpoint(small_checkpoint))
    pictures = np.stack([embedder.card.preprocessing(picture(seed)) for seed in range(9)])
    own = [pictures[:5], pictures[5:]]
    expected = [embedder.embed_prepared(batch) for batch in own]
    worker = EmbeddingWorker(embedder, capacity=8, max_batch=4)
    with worker.admit(4, urgent=True) as urgent, worker.admit(4, urgent=False) as patient:
        jobs = [admission.submit(pictures[i]) for i in range(4) for admission in (urgent, patient)]
        results = [worker.embed_batch(batch) for batch in own]
        for result, embeddings in zip(results, expected, strict=True):
            np.testing.assert_array_equal(result.result(10).embedding, embeddings.embedding, strict=True)
            np.testing.assert_array_equal(result.result(10).theta, embeddings.theta, strict=True)
        for job in jobs:
            job.result(10)
    worker.close()


def test_a_batch_of_the_services_own_goes_last_and_whole(worker: EmbeddingWorker, gate: Gate) -> None:
    busy(worker, gate)
    own = [worker.embed_batch(np.stack([image(value) for value in values])) for values in (range(20, 26), [30])]
    with worker.admit(4, urgent=False) as patient, worker.admit(3, urgent=True) as urgent:  # it takes no place
        futures = [patient.submit(image(value)) for value in (1, 2, 3, 4)]
        futures += [urgent.submit(image(value)) for value in (11, 12, 13)]
        gate.open.set()
        for future in futures:
            future.result(10)
    assert [batch.result(10).embedding.tolist() for batch in own] == [[[v] for v in range(20, 26)], [[30]]]
    assert gate.batches == [[0], [11, 12, 13, 1], [2, 3, 4], [20, 21, 22, 23, 24, 25], [30]]


class Layers(Gate):
    """A batch of several images has layers between which it pauses; `layer` is called in each."""

    NUM_LAYERS = 20

    def __init__(self, layer: Callable[[int], None]) -> None:
        super().__init__()
        self.open.set()
        self.finished: list[list[int]] = []
        self._layer = layer
        self._pause: Callable[[], None] | None = None

    @contextmanager
    def pausing(self, pause: Callable[[], None]) -> Iterator[None]:
        self._pause = pause
        yield
        self._pause = None

    def embed_prepared(self, images: NDArray[np.uint8]) -> Embeddings:
        pause = self._pause
        if pause is not None and len(images) > 1:
            for number in range(self.NUM_LAYERS):
                pause()
                self._layer(number)
        embeddings = super().embed_prepared(images)
        self.finished.append(images[:, 0, 0, 0].tolist())
        return embeddings


OWN = np.stack([image(20), image(21)])


def test_a_query_is_let_in_between_two_layers_of_a_batch_of_the_services_own() -> None:
    arrived = threading.Event()

    def layer(number: int) -> None:
        if number == 3:
            arrived.set()
            assert let_go.wait(10)

    let_go = threading.Event()
    layers = Layers(layer)
    worker = EmbeddingWorker(layers, capacity=8, max_batch=4)
    own = worker.embed_batch(OWN)
    assert arrived.wait(10)
    with worker.admit(1, urgent=True) as query, worker.admit(1, urgent=False) as enrolment:
        futures = [query.submit(image(1)), enrolment.submit(image(2))]
        let_go.set()
        assert [future.result(10).embedding.tolist() for future in futures] == [[1], [2]]
    assert own.result(10).embedding.tolist() == [[20], [21]]
    worker.close()
    assert layers.finished == [[1, 2], [20, 21]]


def test_a_batch_of_the_services_own_stands_back_while_a_query_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.worker._SLICE_S", 3600)
    computed: list[int] = []
    layers = Layers(computed.append)
    worker = EmbeddingWorker(layers, capacity=8, max_batch=4)
    with worker.admit(1, urgent=True):  # it is being decoded, say
        own = worker.embed_batch(OWN)
        time.sleep(0.1)
        assert computed == []
    assert own.result(10).embedding.tolist() == [[20], [21]]
    assert computed == list(range(Layers.NUM_LAYERS))
    worker.close()


def test_a_batch_of_the_services_own_gets_its_share_of_the_time_though_a_query_never_ends() -> None:
    layers = Layers(lambda _: time.sleep(0.001))
    worker = EmbeddingWorker(layers, capacity=8, max_batch=4)
    with worker.admit(1, urgent=True):
        assert worker.embed_batch(OWN).result(30).embedding.tolist() == [[20], [21]]
    worker.close()


def test_a_query_whose_device_fails_between_two_layers_fails_alone() -> None:
    class Failing(Layers):
        def embed_prepared(self, images: NDArray[np.uint8]) -> Embeddings:
            if len(images) == 1:
                raise RuntimeError("CUDA error: operation not supported")
            return super().embed_prepared(images)

    arrived, let_go = threading.Event(), threading.Event()

    def layer(number: int) -> None:
        if number == 0:
            arrived.set()
            assert let_go.wait(10)

    worker = EmbeddingWorker(Failing(layer), capacity=8, max_batch=4)
    own = worker.embed_batch(OWN)
    assert arrived.wait(10)
    with worker.admit(1, urgent=True) as query:
        failed = query.submit(image(1))
        let_go.set()
        with pytest.raises(DeviceError):
            failed.result(10)
    assert own.result(10).embedding.tolist() == [[20], [21]]
    worker.close()


def test_closing_does_not_wait_for_a_query_between_two_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.worker._SLICE_S", 3600)
    worker = EmbeddingWorker(Layers(lambda _: None), capacity=8, max_batch=4)
    with worker.admit(1, urgent=True):
        own = worker.embed_batch(OWN)
        time.sleep(0.05)
        assert worker.close()
    assert own.done()


class Stream(Gate):
    """While a batch of 1s is embedded the next such job comes: there is always one that waits."""

    def __init__(self) -> None:
        super().__init__()
        self.admission: Admission | None = None

    def embed_prepared(self, images: NDArray[np.uint8]) -> Embeddings:
        if self.admission is not None and len(self.batches) < 200:
            self.admission.submit(image(1))
        return super().embed_prepared(images)


@pytest.mark.parametrize("urgent", [True, False])
def test_a_batch_of_the_services_own_does_not_starve(urgent: bool) -> None:
    stream = Stream()
    worker = EmbeddingWorker(stream, capacity=512, max_batch=4, max_queries=512)
    busy(worker, stream)
    with worker.admit(500, urgent=urgent) as stream.admission:
        stream.admission.submit(image(1))
        own = [worker.embed_batch(np.stack([image(value)] * 2)) for value in (21, 22, 23)]
        stream.open.set()
        for batch in own:
            batch.result(10)
        worker.close()
    kinds = "".join("j" if batch[0] < 20 else "o" for batch in stream.batches)
    between = [len(jobs) for jobs in kinds.split("o")[:3]]
    assert min(between) >= 5  # the jobs go first
    assert max(between) <= 12  # a share of a tenth, if all that comes is jobs


def test_a_failure_of_the_services_own_batch_is_its_own(worker: EmbeddingWorker, gate: Gate) -> None:
    busy(worker, gate)
    bad = worker.embed_batch(np.stack([image(value) for value in (1, 255, 2)]))
    good = worker.embed_batch(np.stack([image(3)]))
    gate.open.set()
    with pytest.raises(EmbeddingError, match="poison"):
        bad.result(10)
    assert good.result(10).embedding.tolist() == [[3]]
    assert gate.batches == [[0], [1, 255, 2], [3]]  # it is not tried one by one: its numbers would be others
    with worker.admit(1, urgent=True) as admission:
        assert admission.submit(image(4)).result(10).embedding.tolist() == [4]


def test_closing_cancels_the_services_own_batches(gate: Gate) -> None:
    worker = EmbeddingWorker(gate, capacity=8, max_batch=4)
    under_way = worker.embed_batch(np.stack([image(1)]))
    assert gate.entered.wait(10)
    waiting = [worker.embed_batch(np.stack([image(value)])) for value in (2, 3)]
    opening = threading.Thread(target=lambda: open_when_closing(worker, gate))
    opening.start()
    worker.close()
    opening.join()
    assert under_way.result(0).embedding.tolist() == [[1]]
    assert all(batch.cancelled() for batch in waiting)
    assert worker.embed_batch(np.stack([image(4)])).cancelled()
    assert gate.batches == [[1]]


def open_when_closing(worker: EmbeddingWorker, gate: Gate) -> None:
    while not worker._closing:
        time.sleep(0.001)
    gate.open.set()


def test_a_batch_that_was_cancelled_is_not_embedded(worker: EmbeddingWorker, gate: Gate) -> None:
    busy(worker, gate)
    left, wanted = (worker.embed_batch(np.stack([image(value)])) for value in (1, 2))
    assert left.cancel()
    gate.open.set()
    assert wanted.result(10).embedding.tolist() == [[2]]
    assert gate.batches == [[0], [2]]


def test_a_batch_that_cannot_be_put_together_does_not_end_the_worker(gate: Gate) -> None:
    gate.open.set()
    worker = EmbeddingWorker(gate, capacity=8, max_batch=4)
    gate.open.clear()
    busy(worker, gate)
    with worker.admit(2, urgent=False) as admission:
        # As where the memory does not suffice for the batch: it fails before the network sees it.
        futures = [admission.submit(image(1)), admission.submit(np.zeros((3, 3, 3), np.uint8))]
        gate.open.set()
        for future in futures:
            with pytest.raises(DeviceError):
                future.result(10)
    embed_one(worker, 3)
    assert worker.close()


def test_closing_does_not_wait_for_ever_for_a_device_that_hangs(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.worker._CLOSE_S", 0.05)
    worker = EmbeddingWorker(gate, capacity=8, max_batch=4)
    busy(worker, gate)
    assert not worker.close()
    gate.open.set()
    monkeypatch.setattr("service.worker._CLOSE_S", 10)
    assert worker.close()


def test_it_knows_whether_a_query_is_under_way(small_checkpoint: Path) -> None:
    worker = EmbeddingWorker(Embedder(load_checkpoint(small_checkpoint)), capacity=4, max_batch=2)
    seen = [worker.has_queries]
    with worker.admit(1, urgent=False):
        seen.append(worker.has_queries)
    with worker.admit(1, urgent=True):
        seen.append(worker.has_queries)
    seen.append(worker.has_queries)
    worker.close()
    assert seen == [False, False, True, False]


class Small(Gate):
    """Its device has memory for `room` images at once; its gate is open. Poison is found in what fits."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.open.set()
        self.room = room

    def embed_prepared(self, images: NDArray[np.uint8]) -> Embeddings:
        if len(images) > self.room:
            self.batches.append(images[:, 0, 0, 0].tolist())
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().embed_prepared(images)


@contextmanager
def together(worker: EmbeddingWorker, gate: Gate, values: list[int]) -> Iterator[list[Future[Embedded]]]:
    """A request of which one batch is made, behind one of a single image: what becomes of each value."""
    gate.open.clear()
    gate.entered.clear()
    with busy(worker, gate), worker.admit(len(values), urgent=False) as admission:
        futures = [admission.submit(image(value)) for value in values]
        gate.open.set()
        yield futures


def embed_together(worker: EmbeddingWorker, gate: Gate, values: list[int]) -> list[float]:
    with together(worker, gate, values) as futures:
        return values_of(futures)


def values_of(futures: list[Future[Embedded]]) -> list[float]:
    return [float(future.result(10).embedding[0]) for future in futures]


@pytest.mark.parametrize(
    ("room", "batches"),
    [
        (4, [[1, 2, 3, 4]]),
        (3, [[1, 2, 3, 4], [1, 2], [3, 4]]),
        (2, [[1, 2, 3, 4], [1, 2], [3, 4]]),
        (1, [[1, 2, 3, 4], [1, 2], [1], [2], [3], [4]]),
    ],
)
def test_a_batch_for_which_there_is_no_memory_is_embedded_in_halves(room: int, batches: list[list[int]]) -> None:
    small = Small(room)
    worker = EmbeddingWorker(small, capacity=8, max_batch=4)
    assert embed_together(worker, small, [1, 2, 3, 4]) == [1, 2, 3, 4]
    assert small.batches == [[0], *batches]
    assert worker.device_failing is None
    worker.close()


def test_what_did_not_fit_is_not_tried_again_at_once() -> None:
    small = Small(2)
    worker = EmbeddingWorker(small, capacity=32, max_batch=8)
    assert worker.most_images == 8
    assert embed_together(worker, small, [*range(1, 9)]) == [*range(1, 9)]
    assert worker.most_images == 2
    small.batches.clear()
    assert embed_together(worker, small, [*range(11, 16)]) == [*range(11, 16)]
    assert small.batches == [[0], [11, 12], [13, 14], [15]]
    # Once there is room again, batches grow until they are as large as ever.
    small.room = 100
    for _ in range(200):
        assert embed_together(worker, small, [*range(1, 9)]) == [*range(1, 9)]
        if worker.most_images == 8:
            break
    small.batches.clear()
    embed_together(worker, small, [*range(1, 9)])
    assert small.batches == [[0], [*range(1, 9)]]
    worker.close()


def test_poison_fails_alone_also_where_there_is_little_memory() -> None:
    small = Small(2)
    worker = EmbeddingWorker(small, capacity=8, max_batch=8)
    with together(worker, small, [1, 2, 255, 4, 5]) as futures:
        assert values_of(futures[:2] + futures[3:]) == [1, 2, 4, 5]
        with pytest.raises(EmbeddingError, match="poison"):
            futures[2].result(10)
    worker.close()


def test_a_batch_of_the_services_own_is_embedded_in_parts_where_there_is_no_memory() -> None:
    small = Small(2)
    worker = EmbeddingWorker(small, capacity=8, max_batch=4)
    embeddings = worker.embed_batch(np.stack([image(value) for value in range(1, 8)])).result(10)
    assert embeddings.embedding.tolist() == [[value] for value in range(1, 8)]
    assert embeddings.theta.shape == (7, 2, 3)
    # Of 7 the half is 3, of 3 it is 1: after that, single images.
    assert small.batches == [[*range(1, 8)], [1, 2, 3], *([value] for value in range(1, 8))]
    worker.close()


def test_one_image_that_does_not_fit_alone_fails() -> None:
    worker = EmbeddingWorker(Small(0), capacity=8, max_batch=4)
    for _ in range(2):
        with pytest.raises(DeviceError, match="no image is at fault: CUDA out of memory"):
            embed_one(worker, 1)
    assert is_failing(worker)
    with pytest.raises(DeviceError):
        worker.embed_batch(np.stack([image(1), image(2)])).result(10)
    worker.close()


def test_what_does_not_fit_beside_the_services_own_batch_is_embedded_after_it() -> None:
    class Full(Layers):
        """There is no room beside a batch that is under way."""

        def embed_prepared(self, images: NDArray[np.uint8]) -> Embeddings:
            if self._pause is not None and images[0, 0, 0, 0] < 20:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().embed_prepared(images)

    arrived, let_go = threading.Event(), threading.Event()

    def layer(number: int) -> None:
        if number == 0:
            arrived.set()
            assert let_go.wait(10)

    full = Full(layer)
    worker = EmbeddingWorker(full, capacity=8, max_batch=4)
    own = worker.embed_batch(OWN)
    assert arrived.wait(10)
    with worker.admit(2, urgent=True) as queries:
        futures = [queries.submit(image(value)) for value in (1, 2)]
        let_go.set()
        assert values_of(futures) == [1, 2]
    assert own.result(10).embedding.tolist() == [[20], [21]]
    assert not is_failing(worker)
    assert full.finished[0] == [20, 21]
    worker.close()


def test_batches_of_one_are_queries_and_enrolments_in_turns() -> None:
    small = Small(1)
    worker = EmbeddingWorker(small, capacity=32, max_batch=4)
    embed_together(worker, small, [90, 91, 92, 93])
    assert worker.most_images == 1
    small.open.clear()
    small.entered.clear()
    small.batches.clear()
    busy(worker, small)
    with worker.admit(4, urgent=False) as patient, worker.admit(3, urgent=True) as urgent:
        futures = [patient.submit(image(value)) for value in (1, 2, 3, 4)]
        futures += [urgent.submit(image(value)) for value in (11, 12, 13)]
        small.open.set()
        assert values_of(futures) == [1, 2, 3, 4, 11, 12, 13]
    assert small.batches == [[0], [11], [1], [12], [2], [13], [3], [4]]
    worker.close()


def test_a_batch_of_the_services_own_whose_turn_it_is_goes_after_the_query_that_waits(
    worker: EmbeddingWorker, gate: Gate
) -> None:
    busy(worker, gate)
    worker._since_background = 100
    own = worker.embed_batch(OWN)
    with worker.admit(1, urgent=True) as query:
        waiting = query.submit(image(1))
        gate.open.set()
        waiting.result(10)
    own.result(10)
    assert gate.batches == [[0], [1], [20, 21]]


BROKEN = "CUDA error: an illegal memory access was encountered"


@pytest.mark.parametrize("own", [False, True])
def test_nothing_is_asked_of_a_broken_device(own: bool) -> None:
    class Breaks(Broken):
        def embed_prepared(self, images: NDArray[np.uint8]) -> Embeddings:
            self.batches.append(images[:, 0, 0, 0].tolist())
            raise RuntimeError(BROKEN)

    breaks = Breaks()
    worker = EmbeddingWorker(breaks, capacity=8, max_batch=4)
    guest = Device(Breaks())
    for _ in range(2):
        with pytest.raises(DeviceBrokenError, match=BROKEN) as raised:
            worker.embed_batch(OWN, guest).result(10) if own else embed_one(worker, 1)
        assert raised.value.retry_after_s >= 1
        assert worker.device_broken is not None
        assert worker.device_broken == worker.device_failing == str(raised.value)
    # The guest's device is the worker's: there is one for all of a process.
    with pytest.raises(DeviceBrokenError):
        embed_one(worker, 2)
    assert breaks.batches == ([] if own else [[1]])
    assert worker.close()
