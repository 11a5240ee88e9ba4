"""The configuration for nginx, in nginx, with a service behind it."""

import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from benchmarks.live_service import LiveService
from tests.conftest import png
from tests.service.access.conftest import bearer, make_key

CONFIGURATION = Path(__file__).resolve().parents[2] / "deploy" / "nginx" / "sanet.conf"

# The clients come from another address than nginx, as they do outside of a test.
CLIENT = "127.0.0.2"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Nginx:
    """nginx with the configuration that ships, but for its ports, names and paths.

    Attributes:
        client: a client at `CLIENT` that speaks HTTPS with it.
        tls: what verifies its certificate.
    """

    def __init__(self, folder: Path, service_port: int) -> None:
        self.folder, self.port, self.plain_port = folder, free_port(), free_port()
        certificate, key = folder / "fullchain.pem", folder / "privkey.pem"
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
        make = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ]
        subprocess.run([*make, *subject], check=True, capture_output=True)
        self.tls = ssl.create_default_context(cafile=str(certificate))
        transport = httpx2.HTTPTransport(verify=self.tls, local_address=CLIENT)
        self.client = httpx2.Client(base_url=f"https://localhost:{self.port}", transport=transport, timeout=60)
        self._write(service_port)

    def _write(self, service_port: int) -> None:
        text = CONFIGURATION.read_text()
        for shipped, here in (
            ("127.0.0.1:8000;", f"127.0.0.1:{service_port};"),
            ("listen 80;", f"listen 127.0.0.1:{self.plain_port};"),
            ("listen 443 ssl http2;", f"listen 127.0.0.1:{self.port} ssl http2;"),
            ("/etc/nginx/sanet/", f"{self.folder}/"),
            ("/var/log/nginx/", f"{self.folder}/"),
            ("    listen [::]:80;\n", ""),  # not every machine has IPv6
            ("    listen [::]:443 ssl http2;\n", ""),
        ):
            assert shipped in text
            text = text.replace(shipped, here)
        (self.folder / "sanet.conf").write_text(text)
        temporary = [f"{name}_temp_path {self.folder}/{name};" for name in ("fastcgi", "uwsgi", "scgi")]
        lines = [
            "user root;" if os.geteuid() == 0 else "",
            "daemon off;",
            f"pid {self.folder}/pid;",
            f"error_log {self.folder}/error.log info;",
            "events {}",
            "http {",
            f"client_body_temp_path {self.folder}/bodies;",
            f"proxy_temp_path {self.folder}/answers;",
            *temporary,
            "include sanet.conf;",
            "}",
        ]
        (self.folder / "nginx.conf").write_text("\n".join(lines))

    @contextmanager
    def running(self) -> Iterator["Nginx"]:
        files = ["-p", f"{self.folder}", "-c", f"{self.folder}/nginx.conf", "-e", f"{self.folder}/start.log"]
        process = subprocess.Popen(["nginx", *files])
        try:
            wait_until(lambda: process.poll() is not None or listens(self.port))
            assert process.poll() is None, (self.folder / "start.log").read_text()
            yield self
        finally:
            self.client.close()
            process.terminate()
            process.wait(60)

    def log(self) -> str:
        return (self.folder / "sanet.log").read_text()

    def temporary_files(self) -> list[Path]:
        """What of bodies and answers lies on its disk."""
        return [path for name in ("bodies", "answers") for path in (self.folder / name).rglob("*") if path.is_file()]


class Behind:
    """A service, nginx in front of it, and an admin's key."""

    def __init__(self, service: LiveService, nginx: Nginx, key: str, data_dir: Path) -> None:
        self.service, self.nginx, self.data_dir, self.headers = service, nginx, data_dir, bearer(key)

    def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        return self.nginx.client.request(method, path, headers={**self.headers, **more.pop("headers", {})}, **more)

    def metric(self, name: str) -> float:
        text = self.service.client.get("/metrics", headers=self.headers).text
        return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name} "))


@pytest.fixture(scope="module")
def behind(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    folder = tmp_path_factory.mktemp("behind")
    pictures = folder / "pictures"
    pictures.mkdir()
    for seed in range(5):
        (pictures / f"{seed}.png").write_bytes(png(seed))
    # Duplicates of each other: a job of many seconds.
    (pictures / "long.csv").write_text("path,identity\n" + "".join(f"{i % 5}.png,v{i % 5}\n" for i in range(500_000)))
    _, key = make_key(folder / "data", "ada")
    (folder / "nginx").mkdir()
    settings = {"trusted_proxies": "127.0.0.1", "max_file_mb": "1", "max_request_mb": "2", "import_root": str(pictures)}
    with (
        LiveService(small_checkpoint, folder / "data", **settings) as service,
        Nginx(folder / "nginx", service.client.base_url.port or 0).running() as nginx,
    ):
        yield Behind(service, nginx, key, folder / "data")


def is_problem(answer: httpx2.Response, status: int, name: str) -> bool:
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    document = answer.json()
    assert document["status"] == answer.status_code
    return (answer.status_code, document["type"]) == (status, f"urn:sanet:problem:{name}")


def test_vehicles_are_enrolled_and_found_through_it(behind: Behind) -> None:
    files = [("images", (f"{seed}.png", png(seed), "image/png")) for seed in (1, 2, 3)]
    enrolled = behind.ask("POST", "/gallery", files=files)
    assert enrolled.status_code == 201
    assert enrolled.headers["Strict-Transport-Security"].startswith("max-age=")
    assert "nginx/" not in enrolled.headers["Server"]
    ids = [result["id"] for result in enrolled.json()["results"]]
    found = behind.ask("POST", "/query", files={"image": png(2)}).json()
    assert found["matches"][0]["id"] == ids[1]
    assert behind.ask("GET", f"/gallery/{ids[0]}/frame").content == png(1)
    assert behind.nginx.temporary_files() == []


def test_a_request_has_one_id_everywhere(behind: Behind) -> None:
    assert behind.ask("GET", "/model", headers={"X-Request-Id": "by-hand.1"}).headers["X-Request-Id"] == "by-hand.1"
    for strange in ({}, {"X-Request-Id": 'a"b'}, {"X-Request-Id": "x" * 65}):
        given = behind.ask("GET", "/model?key=secret", headers=strange).headers["X-Request-Id"]
        assert given not in strange.values()
        wait_until(lambda given=given: '"GET /model" 200' in behind.nginx.log() and given in behind.nginx.log())  # type: ignore[misc]
        wait_until(lambda given=given: f"[{given}]: {CLIENT} " in behind.service.log())  # type: ignore[misc]
    assert "secret" not in behind.nginx.log()


def test_the_audit_log_has_the_clients_address_and_believes_no_other(behind: Behind) -> None:
    headers = {"X-Forwarded-For": "203.0.113.9", "X-Request-Id": "forwarded"}
    behind.ask("DELETE", f"/gallery/{'0' * 32}", headers=headers)
    entries = behind.ask("GET", "/audit?action=delete").json()["entries"]
    assert {entry["peer"] for entry in entries if entry["request_id"] == "forwarded"} == {CLIENT}


def test_events_come_while_the_job_goes_on(behind: Behind) -> None:
    job = behind.ask("POST", "/jobs", json={"kind": "import", "path": "long.csv"}).json()
    with behind.nginx.client.stream("GET", f"/jobs/{job['id']}/events", headers=behind.headers) as stream:
        lines = stream.iter_lines()
        first = next(line for line in lines if line.startswith("data: "))
        assert json.loads(first.removeprefix("data: "))["state"] in ("queued", "running")
        # What is held back until the job ends would have come too late for this.
        assert behind.ask("DELETE", f"/jobs/{job['id']}").status_code in (202, 204)
        states = [json.loads(line.removeprefix("data: "))["state"] for line in lines if line.startswith("data: ")]
    assert states[-1] == "cancelled"


def test_an_upload_reaches_the_service_while_it_is_sent(behind: Behind) -> None:
    file = png(7, 640, 480)
    head = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
    body = head + file + b"\r\n--x--\r\n"
    request = (
        f"POST /gallery HTTP/1.1\r\nHost: localhost\r\nAuthorization: {behind.headers['Authorization']}\r\n"
        f"Content-Length: {len(body)}\r\nContent-Type: multipart/form-data; boundary=x\r\nConnection: close\r\n\r\n"
    )
    assert behind.metric("sanet_uploads_bytes") == 0
    with (
        socket.create_connection(("127.0.0.1", behind.nginx.port), timeout=60) as plain,
        behind.nginx.tls.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(request.encode() + body[: len(body) // 2])
        wait_until(lambda: behind.metric("sanet_uploads_bytes") > 0)
        assert behind.nginx.temporary_files() == []
        connection.sendall(body[len(body) // 2 :])
        assert connection.recv(100).startswith(b"HTTP/1.1 201 ")


def test_refusals_of_the_service_pass_as_they_are(behind: Behind) -> None:
    too_large = behind.ask("POST", "/gallery", files={"images": b"x" * 5_000_000})
    assert is_problem(too_large, 413, "body-too-large")
    assert is_problem(behind.nginx.client.get("/gallery"), 401, "key-needed")
    assert is_problem(behind.ask("GET", "/nowhere"), 404, "not-found")
    _, slow = make_key(behind.data_dir, "slow", rate="2/minute")

    def limited() -> bool:
        answer = behind.nginx.client.get("/model", headers=bearer(slow))
        return (
            answer.status_code == 429
            and is_problem(answer, 429, "too-many-requests")
            and "Retry-After" in answer.headers
        )

    wait_until(limited)


def test_long_addresses_pass_and_endless_ones_are_a_problem_document(behind: Behind) -> None:
    ids = "&".join(f"id={number:032x}" for number in range(1000))
    assert behind.ask("GET", f"/gallery?{ids}").json()["total"] == 0
    answer = behind.ask("GET", "/gallery?camera=" + "c" * 65_400)
    assert is_problem(answer, 431, "head-too-large")
    assert is_problem(behind.ask("GET", "/gallery", headers={"X-Long": "c" * 70_000}), 431, "head-too-large")


def test_metrics_are_for_the_site_alone(behind: Behind) -> None:
    answer = behind.ask("GET", "/metrics")
    assert is_problem(answer, 403, "not-from-here")
    transport = httpx2.HTTPTransport(verify=behind.nginx.tls, local_address="127.0.0.1")
    with httpx2.Client(base_url=behind.nginx.client.base_url, transport=transport, timeout=60) as inside:
        assert inside.get("/metrics").status_code == 401  # the service still asks for its key
        assert "\nsanet_ready 1.0\n" in inside.get("/metrics", headers=behind.headers).text


def test_plain_http_is_sent_to_https_and_reaches_nothing(behind: Behind) -> None:
    answer = httpx2.post(f"http://127.0.0.1:{behind.nginx.plain_port}/query?top_k=3", headers=behind.headers)
    assert (answer.status_code, answer.headers["Location"]) == (308, "https://127.0.0.1/query?top_k=3")


def test_a_service_that_is_not_there_is_a_problem_document(tmp_path: Path) -> None:
    with Nginx(tmp_path, free_port()).running() as nginx:
        answer = nginx.client.get("/readyz", headers={"X-Request-Id": "mine"})
        assert is_problem(answer, 503, "not-ready")
        assert answer.headers["Retry-After"] == "10"
        assert answer.json()["request_id"] == "mine"
