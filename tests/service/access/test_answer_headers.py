import logging
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from index.gallery.gallery import Gallery
from service.access.key import Secret
from service.log_format import TextFormat
from service.settings import Settings
from tests.conftest import png
from tests.service.conftest import enrol, serve

EVERY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def test_every_kind_of_answer_has_them(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    enrol(client, 1)
    id_ = client.get("/gallery").json()["records"][0]["id"]
    with monkeypatch.context() as patch:
        patch.setattr(Gallery, "stats", lambda *_: 1 / 0)
        answers = [client.get("/gallery/stats")]
    assert answers[0].status_code == 500
    answers += [
        client.get(path)
        for path in (
            "/healthz", "/docs", "/openapi.json", "/nowhere", "/gallery", f"/gallery/{id_}/image", "/metrics",
            "/static-offline-docs/swagger-ui.css", "/gallery?x=1",
        )
    ]  # fmt: skip
    answers += [
        client.head("/gallery"),
        client.put("/gallery"),
        client.post("/query"),
        client.delete(f"/gallery/{id_}"),
    ]
    answers += [client.post("/query", content=b"", headers={"Content-Length": "99000000"})]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in EVERY} == EVERY, answer.url
        assert len(answer.headers["X-Request-Id"]) == 16
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "camera=()" in answer.headers["Permissions-Policy"]
        assert "Strict-Transport-Security" not in answer.headers
        assert len(answer.headers.get_list("X-Content-Type-Options")) == 1
        if answer.content and answer.headers["content-type"] == "application/problem+json":
            assert answer.json()["request_id"] == answer.headers["X-Request-Id"]
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == len(answers)


def test_only_the_page_runs_scripts_and_only_its_own(client: TestClient) -> None:
    policies = {path: client.get(path).headers["Content-Security-Policy"] for path in ("/docs", "/gallery")}
    assert policies["/gallery"].startswith("default-src 'none'")
    assert "script-src" not in policies["/gallery"]
    (scripts,) = [part for part in policies["/docs"].split("; ") if part.startswith("script-src")]
    assert "'unsafe-inline'" not in scripts
    assert "sha256-" in scripts


@pytest.mark.parametrize("asked", ["abc", "0" * 64, "urn:uuid:1-2.3_4/~", '"quoted"'])
def test_a_clients_own_request_id_is_taken(client: TestClient, asked: str) -> None:
    answer = client.get("/nowhere", headers={"X-Request-Id": asked})
    assert answer.headers["X-Request-Id"] == answer.json()["request_id"] == asked


@pytest.mark.parametrize(
    "asked", ["", "0" * 65, "a b", "a\tb", "zo\u00eb", pytest.param(str(Secret.make()), id="a secret")]
)
def test_one_that_is_long_or_cannot_be_seen_is_not(client: TestClient, asked: str) -> None:
    answer = client.get("/nowhere", headers=[(b"X-Request-Id", asked.encode("latin-1"))])
    assert answer.headers["X-Request-Id"] != asked
    assert len(answer.headers["X-Request-Id"]) == 16


def test_the_log_names_the_request_and_hides_keys(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = Secret.make()
    lines: list[str] = []

    class Collects(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Collects()
    handler.setFormatter(TextFormat())
    logging.getLogger("service.problems").addHandler(handler)

    def fails(*_: object) -> None:
        raise RuntimeError(f"with {secret}")

    monkeypatch.setattr(Gallery, "get", fails)
    client.get(f"/gallery/{'0' * 32}", headers={"X-Request-Id": "mine"})
    logging.getLogger("service.problems").removeHandler(handler)
    (line,) = lines
    assert "ERROR service.problems [mine]: GET /gallery/000" in line
    assert f"RuntimeError: with sanet_{secret.id}_***" in line
    assert secret.secret not in line
    record = logging.LogRecord("a", logging.INFO, "", 0, "outside", None, None)
    assert TextFormat().format(record).endswith("INFO a: outside")


ORIGIN = {"Origin": "https://watch.example"}


def test_browsers_of_other_origins_get_nothing_unless_they_are_named(small_checkpoint: Path, tmp_path: Path) -> None:
    preflight = {**ORIGIN, "Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "x-api-key"}
    settings = Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu")
    with serve(settings) as client:
        assert client.options("/gallery", headers=preflight).status_code == 405
        assert "Access-Control-Allow-Origin" not in client.get("/gallery", headers=ORIGIN).headers
    with serve(settings.model_copy(update={"cors_origins": ("https://watch.example",)})) as client:
        allowed = client.options("/gallery", headers=preflight)
        assert allowed.status_code == 200
        assert allowed.headers["Access-Control-Allow-Origin"] == "https://watch.example"
        assert "DELETE" in allowed.headers["Access-Control-Allow-Methods"]
        assert "Access-Control-Allow-Credentials" not in allowed.headers
        assert len(allowed.headers["X-Request-Id"]) == 16
        answer = client.get("/gallery", headers=ORIGIN)
        assert answer.headers["Access-Control-Allow-Origin"] == "https://watch.example"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        other = client.get("/gallery", headers={"Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in other.headers
        assert client.options("/gallery", headers={**preflight, "Origin": "null"}).status_code == 400


def test_a_header_cannot_be_put_in_through_a_name(client: TestClient) -> None:
    files = {"images": ("a\r\nX-Evil: 1.png", png(3))}
    answer = client.post("/gallery", files=files)
    assert "X-Evil" not in answer.headers
    answer = client.get("/nowhere%0d%0aX-Evil:%201")
    assert "X-Evil" not in answer.headers
