import hashlib
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from model.embedder import Embedder
from service.engine import Engine
from service.settings import Settings
from tests.conftest import png
from tests.service.conftest import enrol, query, serve
from tests.service.instruments.scraped import key, scrape


def engine_of(client: TestClient) -> Engine:
    engine: Engine = client.app.state.engine  # type: ignore[attr-defined]
    return engine


def test_records_and_enrolments_are_those_that_were_made(client: TestClient) -> None:
    enrol(client, 1, 2, 3)
    enrol(client, 3, 4)
    seen = scrape(client)
    assert seen[key("sanet_gallery_records", state="searchable")] == 4
    assert seen[key("sanet_gallery_records", state="stale")] == 0
    assert seen[key("sanet_gallery_records", state="damaged")] == 0
    assert seen[key("sanet_enrolled_vehicles_total", status="enrolled")] == 4
    assert seen[key("sanet_enrolled_vehicles_total", status="duplicate")] == 1
    assert seen[key("sanet_stage_duration_seconds_count", operation="enrolment", stage="decode")] == 5
    assert seen[key("sanet_stage_duration_seconds_count", operation="enrolment", stage="embed")] == 5
    assert seen[key("sanet_stage_duration_seconds_count", operation="enrolment", stage="store")] == 2


def test_what_the_network_embeds_is_counted_once(client: TestClient) -> None:
    enrol(client, 1, 2, 3)
    enrol(client, 1)  # known: it is not embedded again
    for seed in (1, 5):
        query(client, seed)
    seen = scrape(client)
    assert seen[key("sanet_embedding_batch_images_sum", kind="requests")] == 5
    assert 3 <= seen[key("sanet_embedding_batch_images_count", kind="requests")] <= 5
    assert 0 < seen[key("sanet_embedding_device_seconds_total", kind="requests")] < 60
    assert seen[key("sanet_embedding_batch_images_sum", kind="background")] == 0
    assert seen[key("sanet_query_decisions_total", decision="uncalibrated")] == 2


def test_each_box_is_decided_on_and_a_record_is_not_embedded(client: TestClient) -> None:
    id_ = enrol(client, 1)["results"][0]["id"]
    boxes = {"box": ["0,0,30,40", "30,0,30,40"]}
    assert client.post("/query", files={"image": png(1)}, data=boxes).status_code == 200
    assert client.post("/query", files={"record": (None, id_)}).status_code == 200
    seen = scrape(client)
    assert seen[key("sanet_query_decisions_total", decision="uncalibrated")] == 3
    for stage, number in (("decode", 2), ("embed", 1), ("search", 2)):
        assert seen[key("sanet_stage_duration_seconds_count", operation="query", stage=stage)] == number
    assert seen[key("sanet_embedding_batch_images_sum", kind="requests")] == 1 + 2


def test_a_device_that_fails_is_seen_and_its_batches_are_counted(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("CUDA error")

    monkeypatch.setattr(Embedder, "embed_prepared", fails)
    for _ in range(2):
        assert client.post("/query", files={"image": png(1)}).status_code == 503
    seen = scrape(client)
    assert seen[key("sanet_device_failing")] == 1
    assert seen[key("sanet_ready")] == 0
    assert seen[key("sanet_embedding_failed_batches_total")] == 2
    assert seen[key("sanet_problems_total", type="device-failed")] >= 2
    assert seen[key("sanet_embedding_batch_images_count", kind="requests")] == 0


def test_places_and_uploads_under_way_are_seen(client: TestClient) -> None:
    engine = engine_of(client)
    with engine.worker.admit(7, urgent=False), engine.worker.admit(3, urgent=True), engine.uploads.admit(12_345):
        seen = scrape(client)
    assert seen[key("sanet_embedding_admitted_images", kind="enrolment")] == 7
    assert seen[key("sanet_embedding_admitted_images", kind="query")] == 3
    assert seen[key("sanet_embedding_capacity_images", kind="enrolment")] == 1024
    assert seen[key("sanet_embedding_capacity_images", kind="query")] == 64
    assert seen[key("sanet_uploads_bytes")] == 12_345
    assert scrape(client)[key("sanet_uploads_bytes")] == 0
    assert seen[key("sanet_pool_requests", pool="scrape")] == 1  # itself
    assert seen[key("sanet_pool_requests", pool="write")] == 0


def test_damage_is_seen(small_checkpoint: Path, tmp_path: Path) -> None:
    settings = Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu")
    with serve(settings) as client:
        id_ = enrol(client, 1, 2)["results"][0]["id"]
        content = hashlib.sha256(png(1)).hexdigest()
        (settings.data_dir / "images" / content[:2] / content).unlink()
        assert scrape(client)[key("sanet_gallery_damaged_images")] == 0
        client.get(f"/gallery/{id_}/image")
        assert scrape(client)[key("sanet_gallery_damaged_images")] == 1
