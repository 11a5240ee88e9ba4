"""A service whose own tables are in PostgreSQL."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from service.access.key_store import KeyStore
from service.access.scope import Scope
from service.settings import Settings
from tests.postgres_server import PostgresServer
from tests.service.conftest import enrol, serve


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One that may be stopped."""
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture(scope="module")
def service(
    server: PostgresServer, small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    folder, url = tmp_path_factory.mktemp("service"), server.create_database()
    with KeyStore.opened(folder, url) as keys:
        _, secret = keys.create("Ada", Scope.ADMIN, expires_at=None, rate=None)
    settings = Settings(checkpoint=small_checkpoint, data_dir=folder, device="cpu", auth="on", database=SecretStr(url))
    with serve(settings) as client:
        client.headers["Authorization"] = f"Bearer {secret}"
        yield client
    assert {path.name for path in folder.iterdir()}.isdisjoint({"jobs.sqlite", "audit.sqlite", "access.sqlite"})


def ended(client: TestClient, url: str) -> Any:
    while (job := client.get(url).json())["state"] in ("queued", "running"):
        time.sleep(0.02)
    return job


def test_jobs_keys_and_audit_are_as_with_files(service: TestClient) -> None:
    assert service.get("/gallery", headers={"Authorization": "Bearer sanet_wrong"}).status_code == 401
    assert enrol(service, 1, 2)["enrolled"] == 2
    started = service.post("/jobs", json={"kind": "verify"})
    assert started.status_code == 202
    job = ended(service, started.headers["Location"])
    assert (job["state"], job["error"]) == ("done", None)
    assert [one["id"] for one in service.get("/jobs?state=done").json()["jobs"]] == [job["id"]]
    assert service.get("/jobs/%00").status_code == 404
    entries = service.get("/audit?action=enrol").json()["entries"]
    assert {entry["caller"] for entry in entries} == {"Ada"}
    metrics = service.get("/metrics").text
    assert 'kind="verify",state="done"' in metrics or 'state="done",kind="verify"' in metrics


def test_while_the_database_is_away_it_says_so_and_goes_on_afterwards(
    service: TestClient, server: PostgresServer
) -> None:
    server.crash()
    try:
        time.sleep(1.1)  # keys are known for a second
        answer = service.get("/gallery")
        assert (answer.status_code, answer.json()["title"]) == (503, "Keys not readable")
        assert int(answer.headers["Retry-After"]) > 0
        assert service.get("/healthz").status_code == 200
    finally:
        server.start()
    assert service.get("/gallery").status_code == 200
    started = service.post("/jobs", json={"kind": "verify"})
    assert ended(service, started.headers["Location"])["state"] == "done"
