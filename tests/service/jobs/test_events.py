"""Server-sent events over a real socket: a client in this process cannot leave in the middle of an answer."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from benchmarks.live_service import LiveService
from tests.service.jobs.conftest import create, ended

NUM_ROWS = 4096


@pytest.fixture
def service(small_checkpoint: Path, tmp_path: Path, root: Path) -> Iterator[LiveService]:
    (root / "m.csv").write_text("path\n" + "".join(f"{i % 10}.png\n" for i in range(NUM_ROWS)))
    with LiveService(small_checkpoint, tmp_path / "data", import_root=str(root), device="cpu") as service:
        yield service


def events(response: httpx2.Response) -> Iterator[dict[str, Any]]:
    """The fields of each event, its data as JSON."""
    event: dict[str, Any] = {}
    for line in response.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            event[name] = json.loads(value) if name == "data" else value
        elif event:
            yield event
            event = {}


def test_the_state_comes_at_once_then_each_change_and_then_the_end(service: LiveService) -> None:
    job = create(service.client, kind="import", path="m.csv")
    start = time.monotonic()
    with service.client.stream("GET", job["events_url"]) as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-store"
        found = list(events(response))
    seconds = time.monotonic() - start
    assert found[0] == {"retry": "2000"}
    changes = found[1:]
    assert all(change.keys() == {"id", "event", "data"} and change["event"] == "job" for change in changes)
    assert changes[0]["data"]["state"] in ("queued", "running")
    assert changes[-1]["data"] == service.client.get(job["url"]).json()
    assert changes[-1]["data"]["state"] == "done"
    assert len(changes) <= 2 * seconds + 2
    ids = [int(change["id"]) for change in changes]
    assert ids == sorted(set(ids))
    done = [change["data"]["done"] for change in changes]
    assert done == sorted(done)
    assert done[-1] == NUM_ROWS

    headers = {"Last-Event-ID": str(ids[-1])}
    assert service.client.get(job["events_url"], headers=headers).status_code == 204  # do not come again
    with service.client.stream("GET", job["events_url"], headers={"Last-Event-ID": str(ids[0])}) as response:
        assert [event["data"]["state"] for event in events(response) if "data" in event] == ["done"]


def test_a_client_that_leaves_and_a_service_that_stops_end_the_events(service: LiveService, root: Path) -> None:
    # Each row of these is another vehicle: longer than this test.
    rows = "".join(f'{i % 10}.png,"0,0,{10 + i // 10 % 30},{5 + i // 300}"\n' for i in range(6000))
    (root / "long.csv").write_text("path,box\n" + rows)
    job = create(service.client, kind="import", path="long.csv")
    with service.client.stream("GET", job["events_url"]) as response:
        next(events(response))
    assert service.client.head(job["events_url"]).status_code == 200  # and comes back although the job goes on
    states: list[str] = []

    def listen() -> None:
        with service.client.stream("GET", job["events_url"]) as response:
            states.extend(event["data"]["state"] for event in events(response) if "data" in event)

    listening = threading.Thread(target=listen)
    listening.start()
    while not states:
        time.sleep(0.05)
    start = time.monotonic()
    assert service.end(signal.SIGTERM) == 0
    assert time.monotonic() - start < 25  # uvicorn would wait for 30 s
    listening.join(5)
    assert not listening.is_alive()
    assert set(states) <= {"queued", "running"}
    assert "Traceback" not in service.log()
    service.start()
    assert service.client.get(job["url"]).json()["state"] in ("queued", "running")
    service.client.delete(job["url"])
    assert ended(service.client, job)["state"] == "cancelled"


def test_a_job_that_has_ended_has_one_event(importing: TestClient) -> None:
    job = ended(importing, create(importing, kind="import", path="0.png"))
    lines = importing.get(job["events_url"]).text.split("\n")
    assert lines[:2] == ["retry: 2000", ""]
    assert lines[2].startswith("id: ")
    assert lines[3] == "event: job"
    assert json.loads(lines[4].removeprefix("data: ")) == job
    assert lines[5:] == ["", ""]
