"""A GPU that this process cannot use any more: the process ends, and the next one serves."""

from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from benchmarks.live_service import LiveService
from index.gallery.gallery import Gallery
from model.embedder import Embedder
from model.embeddings import Embeddings
from service.server import EXIT_DEVICE_BROKEN
from tests.conftest import png
from tests.service.conftest import enrol
from tests.service.instruments.scraped import key, scrape
from tests.service.test_draining_server import Upload, is_closed, wait_until

BREAKS = """
import sys, torch
from pathlib import Path
from model.embedder import Embedder
embed = Embedder.embed_prepared
def breaks(self, images):
    if Path({flag!r}).exists():
        error = torch.AcceleratorError("CUDA error: an illegal memory access was encountered\\nadvice")
        setattr(error, "error_code", 700)  # noqa: B010 - torch\'s stubs do not know it
        raise error
    return embed(self, images)
Embedder.embed_prepared = breaks
sys.argv = ["service"]
from service.__main__ import main
sys.exit(main())
"""
REASON = "CUDA error: an illegal memory access was encountered"


class BreakingService(LiveService):
    """Its device breaks as soon as the file `flag` is there."""

    def __init__(self, checkpoint: Path, data_dir: Path, flag: Path, **settings: str) -> None:
        self.command = ("-c", BREAKS.format(flag=str(flag)))
        super().__init__(checkpoint, data_dir, **settings)


def test_the_process_ends_by_itself_and_the_next_serves(small_checkpoint: Path, tmp_path: Path) -> None:
    flag = tmp_path / "broken"
    with BreakingService(small_checkpoint, tmp_path / "data", flag, device="cpu") as service:
        client = service.client
        assert client.post("/gallery", files={"images": png(1)}).status_code == 201
        upload = Upload(service, 1)  # under way when it breaks; a duplicate needs no device
        flag.touch()
        answer = client.post("/query", files={"image": png(2)})
        assert (answer.status_code, answer.json()["title"]) == (503, "Device failed")
        assert REASON in answer.json()["detail"]
        assert int(answer.headers["Retry-After"]) >= 1
        wait_until(lambda: is_closed(service))
        assert upload.finish().startswith(b"HTTP/1.1 200 ")
        assert service.wait() == EXIT_DEVICE_BROKEN == 75
        last = service.log().splitlines()[-1]
        assert last.startswith("service: the device that embeds failed, and no image is at fault: " + REASON)
        flag.unlink()
        service.start()
        assert client.post("/query", files={"image": png(1)}).json()["matches"][0]["distance"] < 1e-3


def test_while_it_drains_readyz_has_the_reason(small_checkpoint: Path, tmp_path: Path) -> None:
    flag = tmp_path / "broken"
    with BreakingService(small_checkpoint, tmp_path / "data", flag, device="cpu", drain_s="3600") as service:
        client = service.client
        flag.touch()
        assert client.post("/gallery", files={"images": png(1)}).status_code == 503
        wait_until(lambda: client.get("/healthz").headers.get("connection") == "close")  # it stops
        not_ready = client.get("/readyz")
        assert (not_ready.status_code, not_ready.json()["title"]) == (503, "Device failed")
        assert REASON in not_ready.json()["detail"]
        assert client.get("/gallery").json()["total"] == 0
        assert client.post("/query", files={"image": png(2)}).status_code == 503
        assert service.stop() == EXIT_DEVICE_BROKEN


@pytest.mark.parametrize(
    "text",
    ["CUDA error: device-side assert triggered", "CUDA error: unspecified launch failure\nadvice", f"{REASON}\n"],
)
def test_one_batch_is_enough_and_nothing_more_is_asked_of_the_device(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr("service.worker._PROBE_EVERY_S", 0.001)
    num_calls = 0

    def breaks(self: Embedder, images: NDArray[np.uint8]) -> Embeddings:
        nonlocal num_calls
        num_calls += 1
        raise RuntimeError(text)

    monkeypatch.setattr(Embedder, "embed_prepared", breaks)
    for _ in range(3):
        answer = client.post("/query", files={"image": png(1)})
        assert (answer.status_code, answer.json()["title"]) == (503, "Device failed")
        not_ready = client.get("/readyz")
        assert not_ready.status_code == 503
        assert text.splitlines()[0] in not_ready.json()["detail"]
    assert num_calls == 1
    seen = scrape(client)
    assert (seen[key("sanet_device_failing")], seen[key("sanet_ready")]) == (1, 0)


def test_any_other_failure_ends_nothing(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    error = torch.AcceleratorError("CUDA error: invalid configuration argument")
    setattr(error, "error_code", 9)  # noqa: B010 - torch\'s stubs do not know it

    def fails(self: Embedder, images: NDArray[np.uint8]) -> Embeddings:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Embedder, "embed_prepared", fails)
        assert client.post("/query", files={"image": png(1)}).status_code == 503
    assert client.get("/readyz").status_code == 200
    assert enrol(client, 1)["enrolled"] == 1


def test_a_search_that_finds_it_broken_ends_the_process_as_well(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = enrol(client, 1)["results"][0]["id"]

    def breaks(*_: object) -> None:
        raise RuntimeError(REASON)

    monkeypatch.setattr(Gallery, "search_many", breaks)
    for image in ({"record": (None, record)}, {"image": png(1)}):
        answer = client.post("/query", files=image)
        assert (answer.status_code, answer.json()["title"]) == (503, "Device failed")
        assert REASON in answer.json()["detail"]
    assert REASON in client.get("/readyz").json()["detail"]
