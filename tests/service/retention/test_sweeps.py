import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.datastructures import State

from index.gallery.errors import GalleryError, ReplacedError
from index.gallery.gallery import Gallery
from index.gallery.retention import Expired, ExpiredRecord
from service.audit.audit_log import AuditLog
from service.audit.audit_store import AuditStoreError
from service.retention import sweeps
from service.retention.sweeps import RetentionSweeps
from service.settings import Settings
from tests.conftest import png
from tests.service.conftest import enrol, serve

RULE = "90d; camera gate-3: 30d; trash: 1d"
FIRST_OF_MAY = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def client(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Of a service without a rule: each test sweeps by itself, with its own clock."""
    settings = Settings(checkpoint=small_checkpoint, data_dir=tmp_path_factory.mktemp("kept") / "data", device="cpu")
    with serve(settings) as client:
        yield client


@pytest.fixture(autouse=True)
def _empty(client: TestClient) -> None:
    total = client.get("/gallery").json()["total"]
    if total:
        client.delete(f"/gallery?expected={total}&captured_after=2000-01-01T00:00:00Z")


def sweeps_of(client: TestClient, days_later: float, rule: str = RULE) -> RetentionSweeps:
    """The sweeps of the client's service, so many days after 1 May."""
    app = client.app
    assert isinstance(app, FastAPI)
    now = FIRST_OF_MAY + timedelta(days=days_later)
    return RetentionSweeps(rule, app.state, app.state.audit_log, app.state.instruments, lambda: now)


def enrol_captured(client: TestClient, *seeds: int, camera: str = "north") -> list[str]:
    """Ids of pictures that were captured on 1 May."""
    fields = {"camera": camera, "captured_at": "2026-05-01T00:00:00Z"}
    answer = enrol(client, *seeds, metadata=json.dumps([fields] * len(seeds)))
    return [result["id"] for result in answer["results"]]


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def listed(client: TestClient) -> list[str]:
    return [record["id"] for record in client.get("/gallery").json()["records"]]


def audited(client: TestClient) -> list[dict[str, Any]]:
    """What the log says of retention, the oldest first."""
    entries: list[dict[str, Any]] = client.get("/audit?action=retention").json()["entries"]
    return entries[::-1]


def test_what_is_too_old_is_deleted_counted_and_recorded(client: TestClient) -> None:
    north, gate = enrol_captured(client, 1, 2, 3), enrol_captured(client, 4, 5, camera="gate-3")
    num_entries = len(audited(client))
    assert sweeps_of(client, 30).sweep() == 0
    assert audited(client)[num_entries:] == []
    assert sweeps_of(client, 31).sweep() == 2
    assert listed(client) == north
    assert client.post("/query", files={"image": png(4)}).json()["searched"] == 3
    assert sweeps_of(client, 91).sweep() == 3
    assert listed(client) == []
    told = [(entry["caller"], entry["key"], entry["status"], entry["facts"]) for entry in audited(client)[num_entries:]]
    assert told == [
        ("retention", None, None, {"rule": RULE, "expected": 2}),
        ("retention", None, 200, {"deleted": 2, "ids": gate}),
        ("retention", None, None, {"rule": RULE, "expected": 3}),
        ("retention", None, 200, {"deleted": 3, "ids": north}),
    ]
    assert "\nsanet_retention_deleted_records_total 5.0\n" in client.get("/metrics").text
    # Not to be undone.
    assert not [one for one in client.get("/gallery/deletions").json()["deletions"] if one["deleted"] in (2, 3)]


def test_it_goes_batch_by_batch_and_stops_between_them(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = enrol_captured(client, 1, 2, 3, 4, 5)
    monkeypatch.setattr(sweeps, "MAX_IDS", 2)
    swept = sweeps_of(client, 365)
    delete_expired = Gallery.delete_expired
    calls = []

    def counted(gallery: Gallery, *arguments: Any) -> Any:
        calls.append(arguments[1:])
        if len(calls) == 2:
            swept.stop()
        return delete_expired(gallery, *arguments)

    monkeypatch.setattr(Gallery, "delete_expired", counted)
    assert swept.sweep() == 4
    assert [limit for _, limit in calls] == [2, 2]
    assert listed(client) == ids[4:]
    assert sweeps_of(client, 365).sweep() == 1


def test_nothing_is_deleted_that_is_not_recorded_first(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = enrol_captured(client, 1, 2)

    def fails(*_: object) -> Any:
        raise AuditStoreError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(AuditLog, "write", fails)
        with pytest.raises(AuditStoreError):
            sweeps_of(client, 365).sweep()
    assert listed(client) == ids


class FakeEngine:
    """What the sweeps see of an engine: its gallery, which forgets one record a call, and the lease on it."""

    def __init__(self, state: State, seqs: list[int], successor: "FakeEngine | None" = None) -> None:
        self.gallery = self.serving = self.engine = self
        self.state, self.seqs, self.successor = state, seqs, successor
        self.asked_after: list[int] = []

    def lease(self) -> "FakeEngine":
        return self

    def release(self) -> None: ...

    def count_expired(self, expired: Expired) -> dict[str | None, int]:
        return {None: len(self.seqs)}

    def delete_expired(self, expired: Expired, after: int, limit: int) -> list[ExpiredRecord]:
        self.asked_after.append(after)
        if len(self.asked_after) == 2 and self.successor is not None:
            self.state.engine = self.successor
            raise ReplacedError
        return [ExpiredRecord(seq, f"id {seq}", "content") for seq in self.seqs if seq > after][:1]


def test_a_gallery_that_takes_the_others_place_is_swept_from_its_beginning(client: TestClient) -> None:
    """Its records may have numbers of their own."""
    state = State()
    second = FakeEngine(state, [1, 2])
    first = state.engine = FakeEngine(state, [7, 8, 9], second)
    app: Any = client.app
    swept = RetentionSweeps("90d", state, app.state.audit_log, app.state.instruments)
    assert swept.sweep() == 3
    assert first.asked_after == [0, 7]
    assert second.asked_after == [0, 1, 2]


def test_it_goes_on_while_the_gallery_is_embedded_anew(
    small_checkpoint: Path, other_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu")
    with serve(settings) as client:
        enrol_captured(client, *range(1, 9))
        young = [result["id"] for result in enrol(client, 9, 10)["results"]]
        before = client.get("/model").json()["fingerprint"]
    monkeypatch.setattr(sweeps, "MAX_IDS", 1)
    with serve(settings.model_copy(update={"checkpoint": other_checkpoint, "retention": "90d"})) as client:
        wait_until(lambda: client.get("/model").json()["fingerprint"] != before)
        wait_until(lambda: listed(client) == young)
        wait_until(lambda: client.get("/jobs?state=running").json()["jobs"] == [])
        assert client.get("/gallery/stats").json()["total"] == 2
        assert client.post("/query", files={"image": png(9)}).json()["matches"][0]["id"] == young[0]


def test_where_the_service_is_being_stopped_it_ends(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    enrol_captured(client, 1)

    def replaced(*_: object) -> Any:
        raise ReplacedError

    monkeypatch.setattr(Gallery, "delete_expired", replaced)
    with pytest.raises(ReplacedError):
        sweeps_of(client, 365).sweep()


def test_the_trash_is_emptied_where_the_rule_says_so(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[timedelta, str]] = []

    def emptied(gallery: Gallery, older_than: timedelta, shelf: str) -> int:
        asked.append((older_than, shelf))
        return 2 if shelf == "7e" else 0

    monkeypatch.setattr(Gallery, "empty_trash", emptied)
    sweeps_of(client, 0, "90d").sweep()
    assert asked == []
    sweeps_of(client, 0, "trash: 7d").sweep()
    assert asked == [(timedelta(days=7), f"{number:02x}") for number in range(256)]
    assert audited(client)[-1]["facts"] == {"rule": "trash: 7d", "removed_files": 2}


def test_a_service_with_a_rule_sweeps_by_itself_and_counts_what_fails(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu")
    with serve(settings) as client:
        enrol_captured(client, 1)
        (young,) = enrol(client, 2)["results"]
    monkeypatch.setattr(sweeps, "_EVERY_S", 0.01)
    count_expired = Gallery.count_expired
    calls: list[int] = []

    def fails_once(gallery: Gallery, expired: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise GalleryError("the disk refuses")
        return count_expired(gallery, expired)

    monkeypatch.setattr(Gallery, "count_expired", fails_once)
    with serve(settings.model_copy(update={"retention": "90d"})) as client:
        wait_until(lambda: listed(client) == [young["id"]])
        assert "\nsanet_retention_failed_sweeps_total 1.0\n" in client.get("/metrics").text
        assert client.get("/gallery/retention").json() == {"rule": "90d", "records": 0, "cameras": []}
