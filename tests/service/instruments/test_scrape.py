import subprocess
from importlib import metadata
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient

from service.app import create_app
from service.engine import Engine
from service.settings import Settings
from tests.service.conftest import enrol, query
from tests.service.instruments.scraped import key, samples, scrape


def test_promtool_has_no_complaint(client: TestClient) -> None:
    enrol(client, 1, 2)
    query(client, 1)
    client.get("/nowhere")
    text = client.get("/metrics").text
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_promtool_would_complain() -> None:
    text = "# HELP sanet_x_ms Something\n# TYPE sanet_x_ms counter\nsanet_x_ms 1\n"
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False)
    assert checked.returncode != 0


def test_a_service_that_is_loading_is_up_and_not_ready(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> Engine:
        raise ValueError("no luck")

    monkeypatch.setattr(Engine, "open", fails)
    with TestClient(create_app(Settings(checkpoint=small_checkpoint, data_dir=tmp_path), lambda _: None)) as client:
        assert client.get("/readyz").status_code == 503
        seen = scrape(client)
        assert client.get("/metrics", headers={"Accept": "application/json"}).status_code == 503
    assert seen[key("sanet_ready")] == 0
    assert seen[key("sanet_http_requests_total", route="/readyz", method="GET", status="503")] == 1
    assert not [name for name, _ in seen if name.startswith("sanet_gallery")]


def test_a_service_that_is_stopping_is_not_ready(client: TestClient) -> None:
    assert scrape(client)[key("sanet_ready")] == 1
    client.app.state.is_stopping = lambda: True  # type: ignore[attr-defined]
    assert scrape(client)[key("sanet_ready")] == 0


def test_the_program_the_process_and_the_disk_are_there(client: TestClient, tmp_path: Path) -> None:
    enrol(client, 1)
    usage = client.app.state.disk_usage  # type: ignore[attr-defined]
    usage.latest = usage.measure()
    seen = scrape(client)
    version = metadata.version("sanet-retrieval")
    assert seen[key("sanet_build_info", version=version, torch=torch.__version__)] == 1
    images = sum(path.stat().st_size for path in (tmp_path / "data" / "images").rglob("*") if path.is_file())
    assert seen[key("sanet_data_bytes", part="images")] == images > 0
    assert seen[key("sanet_data_measured_timestamp_seconds")] == usage.latest.ended_at
    assert 0 < seen[key("sanet_disk_free_bytes")] < seen[key("sanet_disk_bytes")]
    assert seen[key("process_resident_memory_bytes")] > 1e7
    assert seen[key("process_start_time_seconds")] > 1.7e9


def test_a_scrape_is_answered_while_all_threads_for_reading_are_busy(client: TestClient) -> None:
    engine = client.app.state.engine  # type: ignore[attr-defined]
    engine.pools.read.num_under_way = 1024
    assert client.get("/gallery").status_code == 429
    assert scrape(client)[key("sanet_pool_requests", pool="read")] == 1024
    engine.pools.read.num_under_way = 0


def test_openmetrics_has_the_same_series(client: TestClient) -> None:
    openmetrics = client.get("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})
    assert openmetrics.text.endswith("# EOF\n")
    names = {line.partition("{")[0].partition(" ")[0] for line in openmetrics.text.splitlines() if line[0] != "#"}
    assert names == {name for name, _ in samples(client.get("/metrics").text)}
