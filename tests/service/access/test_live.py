"""A service in a process of its own: what only shows over real sockets, in its log, and at its start."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from benchmarks.live_service import LiveService
from service.access.scope import Scope
from tests.conftest import png
from tests.service.access.conftest import bearer, make_key


@pytest.fixture(scope="module")
def service(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    data_dir = tmp_path_factory.mktemp("live") / "data"
    _, Admin.key = make_key(data_dir, "admin")
    with LiveService(small_checkpoint, data_dir) as service:
        Admin.data_dir = data_dir
        yield service


class Admin:
    key: str
    data_dir: Path


def command(*arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "service.keys", *arguments, "--data-dir", str(Admin.data_dir), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def wait_for(service: LiveService, key: str, status: int) -> float:
    began = time.monotonic()
    while service.client.get("/gallery", headers=bearer(key)).status_code != status:
        assert time.monotonic() - began < 30
        time.sleep(0.05)
    return time.monotonic() - began


def test_keys_made_rotated_and_ended_while_it_runs_count_at_once(service: LiveService) -> None:
    made = command("create", "--name", "new", "--scope", "read")
    wait_for(service, made["key"], 200)
    rotated = command("rotate", "new")
    wait_for(service, rotated["key"], 200)
    assert service.client.get("/gallery", headers=bearer(made["key"])).status_code == 401
    command("revoke", "new")
    wait_for(service, rotated["key"], 401)


def raw(service: LiveService, *lines: str) -> bytes:
    """What is answered to a head whose body never comes."""
    address = (service.client.base_url.host, service.client.base_url.port)
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall("\r\n".join([*lines, "Host: x", "", ""]).encode("latin-1"))
        return connection.recv(65536)


def test_a_request_is_refused_before_its_body_is_read(service: LiveService) -> None:
    for head in ("POST /gallery HTTP/1.1", "POST /query HTTP/1.1", "PATCH /gallery/1 HTTP/1.1", "POST /jobs HTTP/1.1"):
        answer = raw(service, head, "Content-Length: 100000", "Content-Type: multipart/form-data; boundary=x")
        assert answer.startswith(b"HTTP/1.1 401 "), answer
        assert b"www-authenticate: Bearer" in answer


def test_what_is_no_http_has_the_headers_of_every_answer(service: LiveService) -> None:
    answer = raw(service, "GET /\x01 HTTP/1.1")
    assert answer.startswith(b"HTTP/1.1 400 ")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"x-content-type-options: nosniff\r\n" in head
    assert b"x-request-id: " + json.loads(body)["request_id"].encode() in head
    assert b"server:" not in head


@pytest.mark.parametrize(
    "line",
    [
        f"Authorization: Bearer {'x' * 70_000}",
        "Authorization: Bearer a\x00b",
        "Authorization : Bearer a",
        "X-API-Key: \xff\xfe",
        "X-Request-Id: a\rX-Evil: 1",
    ],
)
def test_a_strange_header_is_a_refusal_and_the_next_is_served(service: LiveService, line: str) -> None:
    answer = raw(service, "GET /gallery HTTP/1.1", line)
    assert answer[:13] in (b"HTTP/1.1 400 ", b"HTTP/1.1 401 ", b"HTTP/1.1 431 "), answer
    assert b"X-Evil" not in answer
    assert service.client.get("/gallery", headers=bearer(Admin.key)).status_code == 200


def test_no_key_is_ever_in_the_log(service: LiveService) -> None:
    client, key = service.client, Admin.key
    client.get(f"/gallery?api_key={key}")
    client.get(f"/nowhere/{key}")
    client.get("/gallery", headers={**bearer(key), "X-Request-Id": key})
    client.get("/gallery", headers={**bearer(key), "X-Request-Id": "by-hand"})
    client.post("/query", files={"image": png(1)}, data={"identity": key}, headers=bearer(key))
    client.patch(f"/gallery/{key}", json={"identity": key}, headers=bearer(key))
    client.get(f"/audit?key={key[:18]}", headers=bearer(key))
    log = service.log()
    secret = key.rpartition("_")[2]
    assert secret not in log
    assert f"/nowhere/{key[:18]}_***" in log
    assert "[by-hand]: 127.0.0.1 " in log
    audit = client.get("/audit", headers=bearer(key))
    assert secret not in audit.text
    assert audit.json()["total"] > 3
    for path in Admin.data_dir.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


def test_a_forwarded_address_is_not_believed(service: LiveService) -> None:
    headers = {**bearer(Admin.key), "X-Forwarded-For": "203.0.113.9", "X-Request-Id": "forwarded"}
    service.client.delete(f"/gallery/{'0' * 32}", headers=headers)
    entries = service.client.get("/audit?action=delete", headers=bearer(Admin.key)).json()["entries"]
    assert {entry["peer"] for entry in entries if entry["request_id"] == "forwarded"} == {"127.0.0.1"}


def test_it_is_believed_of_a_trusted_proxy(small_checkpoint: Path, tmp_path: Path) -> None:
    settings = {"trusted_proxies": "10.0.0.0/8, 127.0.0.1", "audit_days": "1"}
    with LiveService(small_checkpoint, tmp_path / "data", **settings) as service:
        service.client.delete(f"/gallery/{'0' * 32}", headers={"X-Forwarded-For": "6.6.6.6, 203.0.113.9, 10.1.2.3"})
        entries = service.client.get("/audit?action=delete").json()["entries"]
    assert {entry["peer"] for entry in entries} == {"203.0.113.9"}


def start(checkpoint: Path, data_dir: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SANET_")}
    environment |= {"SANET_CHECKPOINT": str(checkpoint), "SANET_DATA_DIR": str(data_dir), "SANET_PORT": "0"}
    environment |= {f"SANET_{name.upper()}": value for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "service"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("settings", [{"host": "0.0.0.0"}, {"published": "192.0.2.1"}, {"host": "::"}])
def test_it_does_not_serve_others_without_keys_unless_told(
    small_checkpoint: Path, tmp_path: Path, settings: dict[str, str]
) -> None:
    done = start(small_checkpoint, tmp_path / "data", **settings)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "python -m service.keys create --name NAME --scope admin" in line
    assert "SANET_AUTH=off" in line
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("auth", ["auto", "off", "on"])
def test_it_serves_others_with_keys_or_where_somebody_said_so(
    small_checkpoint: Path, tmp_path: Path, auth: str
) -> None:
    _, key = make_key(tmp_path / "data", "n", Scope.READ)
    with LiveService(small_checkpoint, tmp_path / "data", host="0.0.0.0", auth=auth) as service:
        connection = HTTPConnection("127.0.0.1", service.client.base_url.port or 0)
        connection.request("GET", "/gallery")
        assert connection.getresponse().status == (200 if auth == "off" else 401)
        connection.close()
        assert service.client.get("/gallery", headers=bearer(key)).status_code == 200


def test_damaged_keys_stop_the_start_with_one_line(small_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "access.sqlite").write_bytes(b"x" * 5000)
    done = start(small_checkpoint, tmp_path / "data", host="0.0.0.0")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("service: the keys in ")
