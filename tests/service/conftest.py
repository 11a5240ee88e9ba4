"""A service in this process, with a small model and an empty gallery."""

import gc
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from opentelemetry.trace import TracerProvider

from model.build import build_network
from model.checkpoint import save_checkpoint
from model.config import SANetConfig
from model.preprocessing import Preprocessing
from service.app import create_app
from service.jobs.background import Background
from service.settings import Settings
from tests.conftest import png


@pytest.fixture
def anyio_backend() -> str:
    """The service runs on asyncio alone, whatever else is installed."""
    return "asyncio"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str | None:
    """The address of the database that has the service's own tables; None: files in the data folder have them."""
    if request.param == "sqlite":
        return None
    address: str = request.getfixturevalue("postgres_url")
    return address


@pytest.fixture(scope="session")
def other_checkpoint(small_preprocessing: Preprocessing, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As large as the small one, and made of other weights: nothing but its fingerprint tells a mixture."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(8)
        network = build_network(SANetConfig("resnet18"))
    path = tmp_path_factory.mktemp("other") / "other.safetensors"
    save_checkpoint(path, network.eval(), small_preprocessing, {"trained": False, "data": None})
    return path


@pytest.fixture
def client(small_checkpoint: Path, tmp_path: Path) -> Iterator[TestClient]:
    with serve(Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu")) as client:
        yield client


@contextmanager
def serve(settings: Settings, tracer_provider: TracerProvider | None = None) -> Iterator[TestClient]:
    """A client of a service with these settings, once it is ready."""
    failures: list[Exception] = []
    # As for a real client, an error in the service is an answer with status 500, not an exception here.
    app = create_app(settings, failures.append, tracer_provider)
    with TestClient(app, raise_server_exceptions=False) as client:
        while client.get("/readyz").status_code == 503:
            assert not failures
            time.sleep(0.01)
        yield client
    # FastAPI keeps its applications: with their networks, the tests of one process took 20 GB.
    app.state.engine = None
    gc.collect()


def as_older_program(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data folder, which nobody has open, becomes what a program left that kept no copy of its checkpoint.

    Another model then serves at once; and jobs bring nothing to it until the test is over.
    """
    shutil.rmtree(settings.data_dir / "checkpoints")
    (settings.data_dir / "generation.json").unlink()
    monkeypatch.setattr(Background, "embed", lambda _, job, __: job.wait(3600))


def enrol(client: TestClient, *seeds: int, metadata: str | None = None) -> Any:
    """Enrols the pictures of some seeds; the answer's JSON."""
    files = [("images", (f"{seed}.png", png(seed), "image/png")) for seed in seeds]
    return client.post("/gallery", files=files, data={} if metadata is None else {"metadata": metadata}).json()


def query(client: TestClient, seed: int, **form: Any) -> Any:
    """Queries the picture of a seed; the answer's JSON."""
    response = client.post("/query", files={"image": (f"{seed}.png", png(seed), "image/png")}, data=form)
    assert response.status_code == 200, response.text
    return response.json()
