"""A query beside a bulk enrolment or an import, counted in batches; the device lets nobody in between two layers."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from model.embedder import Embedder
from model.embeddings import Embeddings
from model.preprocessing import Preprocessing
from service.settings import Settings
from service.worker import EmbeddingWorker
from tests.conftest import picture, png
from tests.service.conftest import serve
from tests.service.jobs.conftest import create, ended

QUERY = 1000
NUM_FILES = 40


class HeldDevice:
    """Embeds batch after batch, each only when it may; knows in which the query was."""

    def __init__(self, preprocessing: Preprocessing, monkeypatch: pytest.MonkeyPatch) -> None:
        self._query = preprocessing(picture(QUERY))
        self.sizes: list[int] = []
        self.batch_of_query: int | None = None
        self.is_holding = threading.Event()
        self._go_on = threading.Event()
        embed = Embedder.embed_prepared

        def embed_prepared(embedder: Embedder, images: NDArray[np.uint8]) -> Embeddings:
            if (images == self._query).all(axis=(1, 2, 3)).any():
                self.batch_of_query = len(self.sizes)
            self.sizes.append(len(images))
            self.is_holding.set()
            assert self._go_on.wait(60)
            return embed(embedder, images)

        @contextmanager
        def never_pausing(embedder: Embedder, pause: Callable[[], None]) -> Iterator[None]:
            yield

        monkeypatch.setattr(Embedder, "embed_prepared", embed_prepared)
        monkeypatch.setattr(Embedder, "pausing", never_pausing)

    def go_on(self) -> None:
        """Holds no batch any more."""
        self._go_on.set()


@contextmanager
def query_behind(client: TestClient, device: HeldDevice) -> Iterator[None]:
    """Sends a query, and has the device go on once that waits for it."""
    worker: EmbeddingWorker = client.app.state.engine.worker  # type: ignore[attr-defined]
    assert device.is_holding.wait(60)
    with ThreadPoolExecutor(1) as clients:
        answer = clients.submit(lambda: client.post("/query", files={"image": png(QUERY)}))
        while not worker.queue.num_waiting_queries:
            assert not answer.done()
        num_before = len(device.sizes)
        device.go_on()
        assert answer.result(60).status_code == 200
    yield
    # Whatever was under way when it came is all that it waited for.
    assert device.batch_of_query == num_before


@pytest.mark.parametrize("max_batch", [2, 4, 16])
def test_a_query_waits_for_one_batch_of_a_bulk_enrolment(
    small_checkpoint: Path,
    small_preprocessing: Preprocessing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    max_batch: int,
) -> None:
    settings = Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu", max_batch=max_batch)
    with serve(settings) as client, ThreadPoolExecutor(1) as clients:
        device = HeldDevice(small_preprocessing, monkeypatch)
        files = [("images", (f"{seed}.png", png(seed))) for seed in range(NUM_FILES)]
        enrolment = clients.submit(lambda: client.post("/gallery", files=files))
        with query_behind(client, device):
            assert enrolment.result(60).json()["enrolled"] == NUM_FILES
        assert max(device.sizes) <= max_batch


def test_a_query_waits_for_one_batch_of_an_import(
    small_checkpoint: Path, small_preprocessing: Preprocessing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "imports"
    root.mkdir()
    for seed in range(NUM_FILES):
        (root / f"{seed}.png").write_bytes(png(seed))
    settings = Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu", import_root=root)
    with serve(settings) as client:
        device = HeldDevice(small_preprocessing, monkeypatch)
        job = create(client, kind="import", path=".")
        with query_behind(client, device):
            assert ended(client, job)["state"] == "done"
