import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from model.embedder import Embedder
from model.embeddings import EmbeddingError, Embeddings
from service.device import BatchTooLargeError, Device, DeviceBrokenError, DeviceError, one_line
from service.instruments.instruments import Instruments
from tests.conftest import png
from tests.service.conftest import query

IMAGES = np.zeros((2, 4, 4, 3), np.uint8)
EMBEDDINGS = Embeddings(np.zeros((2, 5), np.float32), np.zeros((2, 2, 3), np.float32))


class Script(Embedder):
    """Does what the script says, batch after batch: an error is raised, and None is a success."""

    def __init__(self, *script: Exception | None) -> None:
        self.script = list(script)

    def embed_prepared(self, images: NDArray[np.uint8]) -> Embeddings:
        if error := self.script.pop(0):
            raise error
        return EMBEDDINGS


def failing_after_each(*script: Exception | None) -> list[bool]:
    device = Device(Script(*script))
    seen = []
    for error in script:
        expected: type[Exception] = EmbeddingError if isinstance(error, EmbeddingError) else DeviceError
        if error is None:
            assert device.embed(IMAGES) is EMBEDDINGS
        else:
            with pytest.raises(expected):
                device.embed(IMAGES)
        seen.append(device.failing is not None)
    return seen


@pytest.mark.parametrize("error", [RuntimeError("CUDA error"), ValueError("shape"), OSError("driver")])
def test_whatever_else_the_network_raises_is_the_devices_failure(error: Exception) -> None:
    assert failing_after_each(error, error, error, None, error) == [False, True, True, False, False]


def test_an_embedding_that_is_not_finite_is_neither_a_failure_nor_a_success_of_the_device() -> None:
    failure, not_finite = RuntimeError("CUDA error"), EmbeddingError("not finite")
    assert failing_after_each(not_finite, not_finite, not_finite, not_finite) == [False] * 4
    assert failing_after_each(failure, not_finite, failure, not_finite) == [False, False, True, True]


def test_images_that_cannot_be_stacked_are_the_devices_failure() -> None:
    device = Device(Script(None))
    with pytest.raises(DeviceError):
        device.embed([IMAGES[0], IMAGES[0, :2]])
    assert device.embed([*IMAGES]) is EMBEDDINGS


def test_too_many_images_are_no_failure_and_not_tried_again() -> None:
    instruments = Instruments()
    script = Script(MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), None)
    device = Device(script, instruments)
    assert device.most_images > 1000
    for _ in range(3):
        with pytest.raises(BatchTooLargeError) as raised:
            device.embed(IMAGES)
        assert raised.value.__context__ is None  # which would keep in the memory what did fit
    assert device.most_images == 1
    assert len(script.script) == 2  # only the first was tried
    with pytest.raises(DeviceError, match="CUDA out of memory"):
        device.embed(IMAGES[:1])
    assert device.failing is None
    assert device.embed(IMAGES[:1]) is EMBEDDINGS
    assert instruments.registry.get_sample_value("sanet_embedding_halved_batches_total") == 1


def test_a_broken_device_fails_at_once_and_for_good() -> None:
    device = Device(Script(RuntimeError("CUDA error: device-side assert triggered\nadvice")))
    with pytest.raises(DeviceBrokenError, match="CUDA error: device-side assert triggered; this process cannot use it"):
        device.embed(IMAGES)


def test_a_device_that_does_not_come_back_is_failing(monkeypatch: pytest.MonkeyPatch) -> None:
    entered, leave = threading.Event(), threading.Event()

    class Hangs(Embedder):
        def __init__(self) -> None: ...

        def embed_prepared(self, images: NDArray[np.uint8]) -> Embeddings:
            entered.set()
            assert leave.wait(30)
            return EMBEDDINGS

    device = Device(Hangs())
    thread = threading.Thread(target=device.embed, args=(IMAGES,))
    thread.start()
    assert entered.wait(30)
    assert device.failing is None
    monkeypatch.setattr("service.device._HANGS_S", 0.0)
    assert "at one batch for 0 s" in str(device.failing)
    leave.set()
    thread.join()
    assert device.failing is None


def test_a_device_that_hangs_after_a_pause_is_failing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pausing(Embedder):
        def __init__(self) -> None: ...

        def embed_prepared(self, images: NDArray[np.uint8]) -> Embeddings:
            if len(images) > 1:
                device.embed(images[:1])  # let in between two layers
                monkeypatch.setattr("service.device._HANGS_S", 0.0)
                assert "at one batch for 0 s" in str(device.failing)
            return EMBEDDINGS

    device = Device(Pausing())
    device.embed(IMAGES)
    assert device.failing is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("CUDA error: x\nadvice\nmore"), "CUDA error: x"),
        (RuntimeError("\n  first\nsecond"), "first"),
        (MemoryError(), "there is not enough memory"),
        (RuntimeError(), "it gave no reason"),
    ],
)
def test_an_error_is_one_line(error: Exception, expected: str) -> None:
    assert one_line(error) == expected


def test_a_service_whose_device_fails_says_so_and_recovers(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Embedder, images: object) -> None:
        raise RuntimeError("CUDA error: invalid configuration argument\nadvice")

    requests: list[Callable[[], Any]] = [
        lambda: client.post("/query", files={"image": png(1)}),
        lambda: client.post("/gallery", files=[("images", (f"{seed}.png", png(seed))) for seed in (1, 2)]),
    ]
    monkeypatch.setattr("service.worker._PROBE_EVERY_S", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(Embedder, "embed_prepared", fails)
        for request in requests * 2:
            answer = request()
            assert (answer.status_code, answer.json()["title"]) == (503, "Device failed"), answer.text
            assert "no image is at fault: CUDA error: invalid configuration argument" in answer.json()["detail"]
            assert "advice" not in answer.json()["detail"]
            assert int(answer.headers["Retry-After"]) >= 1
        not_ready = client.get("/readyz")
        assert (not_ready.status_code, not_ready.json()["title"]) == (503, "Device failed")
        assert int(not_ready.headers["Retry-After"]) >= 1
        assert client.get("/healthz").status_code == 200
        assert client.get("/gallery").json()["total"] == 0
    while client.get("/readyz").status_code == 503:  # it finds out by itself
        pass
    assert query(client, 1)["searched"] == 0
