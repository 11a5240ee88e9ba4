from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from index.gallery.gallery import Gallery
from service.settings import Settings
from tests.conftest import png
from tests.index.records import tamper
from tests.service.conftest import enrol, query, serve


@pytest.fixture
def settings(small_checkpoint: Path, tmp_path: Path) -> Settings:
    """Of a service with three records."""
    settings = Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu")
    with serve(settings) as client:
        enrol(client, 1, 2, 3)
        assert client.get("/readyz").json() == {"status": "ready"}
    return settings


def ready(client: TestClient) -> Any:
    response = client.get("/readyz")
    assert response.status_code == 200
    return response.json()


def image_files(settings: Settings) -> list[Path]:
    return sorted(path for path in (settings.data_dir / "images").rglob("*") if path.is_file())


@pytest.mark.parametrize("sql", ["UPDATE record SET camera = 'x'", "DELETE FROM embedding"])
def test_damaged_records_are_said_by_readyz_and_it_stays_ready(settings: Settings, sql: str) -> None:
    tamper(settings.data_dir / "gallery.sqlite", f"{sql} WHERE seq IN (1, 3)")
    with serve(settings) as client:
        assert ready(client) == {"status": "ready", "damage": {"records": 2, "images": 0, "index": []}}
        assert len(query(client, 2)["matches"]) == 1
        assert client.get("/gallery/stats").json()["damaged"] == 2
        enrol(client, 1)
        assert ready(client)["damage"]["records"] == 1
        enrol(client, 3)
        assert ready(client) == {"status": "ready"}


def test_missing_and_damaged_images_are_said_by_readyz(settings: Settings) -> None:
    missing, damaged, _ = image_files(settings)
    missing.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with serve(settings) as client:
        assert ready(client)["damage"] == {"records": 0, "images": 1, "index": []}
        for record in client.get("/gallery").json()["records"]:
            client.get(record["frame_url"])  # finds the damaged one
        assert ready(client)["damage"] == {"records": 0, "images": 2, "index": []}
        enrol(client, 1, 2, 3)
        assert ready(client) == {"status": "ready"}


def test_what_of_the_index_was_damaged_is_said_by_readyz_and_stats(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = ["vectors-1.bin has not its checksum", "the manifest cannot be read"]
    monkeypatch.setattr(Gallery, "index_problems", problems)
    with serve(settings) as client:
        assert ready(client) == {"status": "ready", "damage": {"records": 0, "images": 0, "index": problems}}
        assert client.get("/gallery/stats").json()["index_problems"] == problems


def test_a_sound_gallery_has_no_damage(settings: Settings) -> None:
    with serve(settings) as client:
        assert ready(client) == {"status": "ready"}
        assert client.get("/gallery/stats").json()["index_problems"] == []
        assert client.post("/query", files={"image": png(1)}).json()["warnings"][1:] == []
        assert client.get("/healthz").json() == {"status": "alive"}
