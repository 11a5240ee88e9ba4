"""A service that may import from a folder, and what one does with its jobs."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.settings import Settings
from tests.conftest import png
from tests.service.conftest import serve


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An import root with ten small pictures."""
    root = tmp_path / "root"
    root.mkdir()
    for seed in range(10):
        (root / f"{seed}.png").write_bytes(png(seed, 40, 30))
    return root


@pytest.fixture
def settings(small_checkpoint: Path, tmp_path: Path, root: Path) -> Settings:
    return Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu", import_root=root)


@pytest.fixture
def importing(settings: Settings) -> Iterator[TestClient]:
    """A client of a service with the import root."""
    with serve(settings) as client:
        yield client


def create(client: Any, **body: Any) -> Any:
    """A new job as JSON."""
    response = client.post("/jobs", json=body)
    assert response.status_code == 202, response.text
    assert response.headers["Location"] == response.json()["url"]
    return response.json()


def ended(client: Any, job: Any, within_s: float = 120) -> Any:
    """The job once it has ended."""
    end = time.monotonic() + within_s
    while True:
        found = client.get(job["url"]).json()
        if found["state"] not in ("queued", "running"):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.02)


def rejections(client: Any, job: Any) -> list[Any]:
    """All rejected rows of a job, over several pages."""
    found: list[Any] = []
    parameters: dict[str, str] = {"limit": "2"}
    while True:
        page = client.get(job["rejections_url"], params=parameters).json()
        found += page["rejections"]
        if page["next_cursor"] is None:
            assert page["total"] == len(found)
            return found
        parameters["cursor"] = page["next_cursor"]
