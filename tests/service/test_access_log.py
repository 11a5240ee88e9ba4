import asyncio
import contextlib
import json
import logging
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from benchmarks.live_service import LiveService
from service.access.call import CALL, Call
from service.access_log import AccessLog
from tests.conftest import png
from tests.service.access.conftest import bearer, make_key


def logged(service: LiveService, request_id: str) -> dict[str, Any]:
    """The one line of the request with this id, which is written when its answer has been sent."""
    end = time.monotonic() + 60
    while True:
        # Each line is JSON, also those of the start; the last may be half written.
        lines: list[dict[str, Any]] = [json.loads(line) for line in service.log().split("\n")[:-1]]
        found = [line for line in lines if line["logger"] == "service.access" and line["request_id"] == request_id]
        if found:
            (line,) = found
            return line
        assert time.monotonic() < end
        time.sleep(0.02)


def test_each_request_is_one_line_with_all_that_is_known(small_checkpoint: Path, tmp_path: Path) -> None:
    made, key = make_key(tmp_path / "data", "ada")
    settings = {"log_format": "json", "trusted_proxies": "127.0.0.1"}
    with LiveService(small_checkpoint, tmp_path / "data", **settings) as service:
        client = service.client
        headers = {**bearer(key), "X-Forwarded-For": "203.0.113.9"}

        def ask(request_id: str, method: str, path: str, **more: Any) -> dict[str, Any]:
            answer = client.request(method, path, headers={**headers, "X-Request-Id": request_id}, **more)
            line = logged(service, request_id)
            assert (line["status"], line["method"]) == (answer.status_code, method)
            assert line["bytes"] == len(answer.content)
            assert line["ms"] > 0
            return line

        line = ask("enrol", "POST", "/gallery", files={"images": ("secret-name.png", png(1), "image/png")})
        assert (line["client"], line["key"], line["key_name"]) == ("203.0.113.9", made.id, "ada")
        assert (line["route"], line["path"], line["status"]) == ("/gallery", "/gallery", 201)
        line = ask("page", "GET", "/gallery?identity=the+minister&tag=secret-name")
        assert (line["route"], line["path"], line["status"]) == ("/gallery", "/gallery", 200)
        line = ask("missing", "GET", f"/gallery/{'0' * 32}/image")
        assert (line["route"], line["path"]) == ("/gallery/{id}/image", f"/gallery/{'0' * 32}/image")
        line = ask("nothing", "GET", "/a%0A%1B%22%E2%80%AE%20b")
        assert (line["route"], line["path"]) == ("none", "/a%0A%1B%22%E2%80%AE%20b")
        assert ask("head", "HEAD", "/gallery")["bytes"] == 0
        assert ask("other", "DELETE", "/query")["route"] == "/query"
        assert len(ask("long", "GET", "/" + "x" * 5000)["path"]) == 303
        client.get("/gallery", headers={"X-Request-Id": "no-key"})
        assert (logged(service, "no-key")["key"], logged(service, "no-key")["status"]) == (None, 401)
        log = service.log()
        for secret in (key.rpartition("_")[2], "minister", "secret-name"):
            assert secret not in log


def test_text_lines_cannot_be_forged(small_checkpoint: Path, tmp_path: Path) -> None:
    with LiveService(small_checkpoint, tmp_path / "data") as service:
        for path in ("/a%0A2026-01-01%20INFO%20forged", "/gallery/a%0D%0Aforged%1B[2K", "/%E2%80%A8forged%C2%85"):
            request = f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\nConnection: close\r\n\r\n"
            with socket.create_connection(("127.0.0.1", service.client.base_url.port or 0), timeout=60) as connection:
                connection.sendall(request.encode())
                while connection.recv(65536):
                    pass
        lines = service.log().splitlines()
    forged = [line for line in lines if "forged" in line]
    assert len(forged) == 3
    assert all("INFO service.access [mine]: 127.0.0.1 - GET /" in line and line.isprintable() for line in forged)


def lines_of(app: Any, path: str, caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What is logged of one request to an application, whatever becomes of it."""
    scope: Scope = {"type": "http", "method": "GET", "path": path, "headers": [], CALL: Call("id", "192.0.2.1")}

    async def receive() -> Message:
        await asyncio.Event().wait()  # the client does not go
        raise AssertionError

    async def send(message: Message) -> None:
        pass

    caplog.clear()
    with caplog.at_level(logging.INFO, "service.access"), contextlib.suppress(RuntimeError):
        asyncio.run(AccessLog(app, [Route("/things/{id}", PlainTextResponse("x"))])(scope, receive, send))
    return [record.fields for record in caplog.records]  # type: ignore[attr-defined]


async def _broken_off(scope: Scope, receive: Receive, send: Send) -> None:
    async def parts() -> Any:
        yield b"123"
        raise RuntimeError("broken off")

    await StreamingResponse(parts(), 206)(scope, receive, send)


async def _fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("before an answer")


def test_also_what_is_not_answered_in_full_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    (line,) = lines_of(_broken_off, "/things/7", caplog)
    assert (line["status"], line["bytes"], line["route"]) == (206, 3, "/things/{id}")
    (line,) = lines_of(_fails, "/others", caplog)
    assert (line["status"], line["bytes"], line["route"], line["key_name"]) == (499, 0, "none", None)
