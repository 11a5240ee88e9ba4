"""The audit log of a service, compared with what was done to it."""

import json
import sqlite3
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from benchmarks.live_service import LiveService
from index.gallery.gallery import Gallery
from service.audit.__main__ import main
from service.audit.audit_log import AuditLog
from service.audit.audit_store import DATABASE, AuditStore, AuditStoreError, Search
from service.audit.entry import Entry
from service.settings import Settings
from service.worker import EmbeddingWorker
from tests.conftest import png
from tests.service.access.conftest import bearer, make_key
from tests.service.conftest import enrol, query, serve


def audit(client: TestClient, **parameters: Any) -> list[dict[str, Any]]:
    """What the log says, the oldest first, without what looked into it."""
    answer = client.get("/audit", params=parameters)
    assert answer.status_code == 200, answer.text
    entries: list[dict[str, Any]] = answer.json()["entries"]
    return [entry for entry in reversed(entries) if entry["action"] != "audit"]


def told(entry: dict[str, Any]) -> tuple[Any, ...]:
    return (entry["action"], entry["status"], entry["facts"])


def test_an_enrolment_without_room_is_refused_before_the_disk_has_it(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = threading.Event()
    append = AuditStore.append

    def late(store: AuditStore, entries: Sequence[Entry]) -> None:
        assert refused.wait(60)
        append(store, entries)

    monkeypatch.setattr(AuditStore, "append", late)
    worker: EmbeddingWorker = client.app.state.engine.worker  # type: ignore[attr-defined]
    with worker.admit(worker.capacity, urgent=False):
        for _ in range(3):
            assert client.post("/gallery", files={"images": png(1)}).status_code == 429
    refused.set()
    assert enrol(client, 1)["enrolled"] == 1  # which waits for its own entry, behind the others
    assert [(entry["action"], entry["status"]) for entry in audit(client)] == [("enrol", 429)] * 3 + [("enrol", 201)]


def test_it_says_what_was_done(client: TestClient) -> None:
    metadata = json.dumps([{"identity": "a", "camera": "north"}, {"identity": "a"}, {"identity": "b"}])
    ids = [result["id"] for result in enrol(client, 1, 2, 3, metadata=metadata)["results"]]
    client.get("/gallery")
    enrol(client, 1)
    client.post("/gallery", files={"images": ("x.png", b"no image")})
    query(client, 2, top_k="5", camera="north")
    client.post("/query", files={"record": (None, ids[0])})
    client.patch(f"/gallery/{ids[0]}", json={"identity": "c", "tags": ["red"]})
    client.patch("/gallery?identity=a&expected=1", json={"camera": None})
    deleted = client.delete(f"/gallery/{ids[1]}")
    deletion = deleted.headers["Link"].split("/")[3]
    client.post(f"/gallery/deletions/{deletion}/undo")
    many = client.delete("/gallery?identity=b").json()
    job = client.post("/jobs", json={"kind": "verify"}).json()
    client.delete(f"/gallery/{'0' * 32}")

    expected = [
        ("enrol", 201, {"results": {"enrolled": 3}, "ids": ids}),
        ("enrol", 200, {"results": {"duplicate": 1}}),
        ("enrol", 422, {"results": {"rejected": 1}}),
        ("query", 200, {"top_k": 5, "camera": ["north"]}),
        ("query", 200, {"record": ids[0]}),
        ("change", None, {"id": ids[0]}),
        ("change", 200, {"id": ids[0], "fields": {"identity": "c", "tags": ["red"]}}),
        ("change_many", None, {"query_string": "identity=a&expected=1"}),
        ("change_many", 200, {"query_string": "identity=a&expected=1", "fields": {"camera": None}, "changed": 1}),
        ("delete", None, {"id": ids[1]}),
        ("delete", 204, {"id": ids[1], "deleted": 1, "deletion": deletion}),
        ("undo", None, {"id": deletion}),
        ("undo", 200, {"id": deletion, "restored": 1}),
        ("delete_identity", None, {"query_string": "identity=b"}),
        (
            "delete_identity",
            200,
            {"query_string": "identity=b", "deleted": 1, "deletion": many["undo_url"].split("/")[3]},
        ),
        ("create_job", 202, {"job": job["id"], "parameters": {"kind": "verify"}}),
        ("delete", None, {"id": "0" * 32}),
        ("delete", 404, {"id": "0" * 32}),
    ]
    found = audit(client)
    assert [told(entry) for entry in found if (entry["action"], entry["status"]) != ("create_job", None)] == expected
    assert {entry["caller"] for entry in found} == {"anonymous"}
    assert {entry["peer"] for entry in found} == {"testclient"}
    for first, second in pairwise(found):
        if first["status"] is None:
            assert first["request_id"] == second["request_id"]


def test_nothing_of_an_image_is_in_it(client: TestClient, tmp_path: Path) -> None:
    enrol(client, 1)
    query(client, 1)
    audit(client)
    content = b"".join(path.read_bytes() for path in (tmp_path / "data").glob("audit.sqlite*"))
    assert b"query" in content
    assert png(1)[16:80] not in content
    assert b"1.png" not in content


def test_pages_and_conditions(client: TestClient) -> None:
    for n in range(5):
        client.delete(f"/gallery/{n:032}", headers={"X-Request-Id": f"r{n}"})
    first = client.get("/audit?action=delete&limit=4").json()
    assert ([entry["request_id"] for entry in first["entries"]], first["total"]) == (["r4", "r4", "r3", "r3"], 10)
    second = client.get(f"/audit?action=delete&limit=100&cursor={first['next_cursor']}").json()
    assert [entry["request_id"] for entry in second["entries"]] == ["r2", "r2", "r1", "r1", "r0", "r0"]
    assert second["next_cursor"] is None
    at = second["entries"][0]["at"]
    assert {entry["request_id"] for entry in audit(client, since=at)} == {"r2", "r3", "r4"}
    assert {entry["request_id"] for entry in audit(client, until=at)} == {"r0", "r1", "r2"}
    assert audit(client, key="nobody") == []
    for wrong in ("cursor=x", "cursor=0", "cursor=99999999999999999999", "limit=0", "since=now", "key=", "who=me"):
        assert client.get(f"/audit?{wrong}").status_code == 422, wrong


def wait_for_refusals(data_dir: Path, number: int) -> None:
    """They are written after their answers."""
    end = time.monotonic() + 30
    while True:
        with closing(sqlite3.connect(data_dir / "audit.sqlite")) as connection:
            found = connection.execute("SELECT count(*) FROM audit WHERE action = 'refused'").fetchone()[0]
        if found >= number:
            return
        assert time.monotonic() < end
        time.sleep(0.02)


def test_it_says_whose_key_it_was_and_who_was_refused(small_checkpoint: Path, tmp_path: Path) -> None:
    settings = Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu")
    key, admin = make_key(settings.data_dir, "Ada")
    with serve(settings) as client:
        client.delete(f"/gallery/{'0' * 32}", headers=bearer(admin))
        client.get("/gallery", headers=bearer("sanet_wrong"))
        client.get("/nowhere")
        client.get("/healthz")
        wait_for_refusals(settings.data_dir, 1)
        entries = client.get("/audit?limit=100", headers=bearer(admin)).json()["entries"]
        by_name = client.get("/audit?key=Ada", headers=bearer(admin)).json()
    facts = [(entry["action"], entry["caller"], entry["key"], entry["status"]) for entry in reversed(entries)]
    assert facts == [
        ("delete", "Ada", key.id, None),
        ("delete", "Ada", key.id, 404),
        ("refused", "unknown", None, 401),
    ]
    assert entries[0]["facts"] == {"route": "page"}
    assert by_name["total"] == 3  # and that somebody looked into it
    assert admin[20:] not in json.dumps(entries)


def test_refusals_do_not_fill_the_disk(small_checkpoint: Path, tmp_path: Path) -> None:
    settings = Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu", auth="on")
    _, admin = make_key(settings.data_dir, "Ada")
    with serve(settings) as client:
        for _ in range(50):
            assert client.get("/gallery").status_code == 401
        client.app.state.audit_log.close()  # type: ignore[attr-defined] # nobody waits for these entries: they are on disk now
        refused = client.get("/audit?action=refused", headers=bearer(admin)).json()
    assert 10 <= refused["total"] <= 20  # a window may end meanwhile


CHANGES = [
    ("DELETE", "/gallery/{id}", None),
    ("DELETE", "/gallery?identity=a", None),
    ("PATCH", "/gallery/{id}", {"identity": "b"}),
    ("PATCH", "/gallery?identity=a&expected=1", {"identity": "b"}),
    ("POST", "/jobs", {"kind": "verify"}),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
def test_what_cannot_be_recorded_is_not_done(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: Any
) -> None:
    id_ = enrol(client, 1, metadata='[{"identity": "a"}]')["results"][0]["id"]
    before = client.get(f"/gallery/{id_}").json()
    num_jobs = client.get("/jobs").json()["total"]

    def refuses(_: AuditStore, __: list[Entry]) -> None:
        raise AuditStoreError("the audit log cannot be written: disk full")

    with monkeypatch.context() as patch:
        patch.setattr(AuditStore, "append", refuses)
        answer = client.request(method, path.format(id=id_), json=body)
        assert (answer.status_code, answer.json()["type"]) == (507, "urn:sanet:problem:audit-not-written")
        assert client.get(f"/gallery/{id_}").json() == before
        assert client.get("/jobs").json()["total"] == num_jobs
        # What shows nothing that was not there goes on, and so does what its own records testify.
        assert query(client, 1)["searched"] == 1
        assert enrol(client, 2)["enrolled"] == 1
    assert client.request(method, path.format(id=id_), json=body).status_code < 300


def test_an_internal_error_is_an_outcome_too(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gallery, "delete", lambda *_: 1 / 0)
    assert client.delete(f"/gallery/{'0' * 32}").status_code == 500
    assert [entry["status"] for entry in audit(client, action="delete")] == [None, 500]


def test_the_log_is_closed_with_the_service(small_checkpoint: Path, tmp_path: Path) -> None:
    with serve(Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu")) as client:
        log: AuditLog = client.app.state.audit_log  # type: ignore[attr-defined]
        for seed in range(5):
            query(client, seed)
    assert log._store is None
    store = AuditStore(tmp_path / "data" / DATABASE)
    assert [entry.action for entry in store.all(Search())] == ["query"] * 5
    store.close()


def test_what_was_answered_is_in_it_after_a_kill(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with LiveService(small_checkpoint, tmp_path / "data") as service:
        enrolled = service.client.post("/gallery", files={"images": ("1.png", png(1))}).json()
        id_ = enrolled["results"][0]["id"]
        service.client.delete(f"/gallery/{id_}", headers={"X-Request-Id": "last"})
        service.kill()
        monkeypatch.setattr(sys, "argv", ["service.audit", "--data-dir", str(tmp_path / "data"), "--json"])
        assert main() == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [(line["action"], line["status"]) for line in lines] == [
            ("enrol", 201),
            ("delete", None),
            ("delete", 204),
        ]
        assert lines[2]["facts"]["id"] == id_
        assert (lines[2]["request_id"], lines[2]["peer"]) == ("last", "127.0.0.1")
        service.start()
        assert service.client.get("/audit").json()["total"] == 3


def test_a_log_that_cannot_be_read_is_said(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any) -> None:
        raise AuditStoreError("the audit log cannot be read: damaged")

    monkeypatch.setattr(AuditStore, "page", refuses)
    answer = client.get("/audit")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:sanet:problem:audit-not-readable")
    assert answer.headers["Retry-After"] == "10"
