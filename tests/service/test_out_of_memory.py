"""A service whose device has memory for a few images at once alone."""

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from model.embedder import Embedder
from model.embeddings import Embeddings
from tests.conftest import png
from tests.service.conftest import enrol, query
from tests.service.instruments.scraped import key, scrape

_EMBED = Embedder.embed_prepared


class Memory:
    """Stands in for `Embedder.embed_prepared` of a device with room for `num_images`."""

    def __init__(self, num_images: int, error: Exception) -> None:
        self.num_images = num_images
        self._error = error
        self.sizes: list[int] = []

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def embed_prepared(embedder: Embedder, images: NDArray[np.uint8]) -> Embeddings:
            self.sizes.append(len(images))
            if len(images) > self.num_images:
                raise self._error
            return _EMBED(embedder, images)

        monkeypatch.setattr(Embedder, "embed_prepared", embed_prepared)


NO_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.mark.parametrize(
    ("error", "num_images"),
    [
        (NO_MEMORY, 3),
        (MemoryError(), 1),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 68719476736 bytes"), 2),
    ],
    ids=["gpu", "numpy", "cpu"],
)
def test_every_vehicle_is_enrolled_as_itself(
    client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    num_images: int,
) -> None:
    memory = Memory(num_images, error)
    memory.install(monkeypatch)
    seeds = range(1, 21)
    boxes = {"box": [f"0,0,{side},30" for side in range(20, 36)]}
    # All boxes of one frame wait at once, so that its batch is a full one.
    assert client.post("/query", files={"image": png(99)}, data=boxes).status_code == 200
    assert enrol(client, *seeds)["enrolled"] == len(seeds)
    for seed in seeds:
        nearest = query(client, seed)["matches"][0]
        assert (nearest["source"], nearest["distance"] < 1e-3) == (f"{seed}.png", True)
    seen = scrape(client)
    num_failed = sum(size > num_images for size in memory.sizes)
    assert seen[key("sanet_embedding_halved_batches_total")] == num_failed > 0
    assert seen[key("sanet_embedding_failed_batches_total")] == 0
    assert 1 <= seen[key("sanet_embedding_most_images")] <= 2 * num_images
    assert client.get("/readyz").status_code == 200
    said = [record.message for record in caplog.records if "no memory" in record.message]
    assert len(said) == 1
    assert "embedded in halves" in said[0]


def test_one_image_that_does_not_fit_alone_is_a_failing_device(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    Memory(0, NO_MEMORY).install(monkeypatch)
    answer = client.post("/query", files={"image": png(1)})
    assert (answer.status_code, answer.json()["title"]) == (503, "Device failed")
    assert "CUDA out of memory" in answer.json()["detail"]
    assert scrape(client)[key("sanet_embedding_failed_batches_total")] == 1
