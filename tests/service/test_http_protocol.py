"""HTTP as clients speak it that send before they read, offer other protocols, or speak none."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.live_service import LiveService

REFUSED = 40_000_000
"""Bytes: more than a query may have, and than the buffers of a connection hold."""


@pytest.fixture(scope="module")
def service(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    with LiveService(small_checkpoint, tmp_path_factory.mktemp("protocol") / "data") as service:
        yield service


def connect(service: LiveService) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(service.client.base_url.host, service.client.base_url.port, timeout=30)


def raw(service: LiveService, request: bytes) -> tuple[int, bytes]:
    """The status and the body that these bytes are answered with."""
    address = (service.client.base_url.host, service.client.base_url.port)
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(request)
        with http.client.HTTPResponse(connection) as answer:
            answer.begin()
            return answer.status, answer.read()


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_a_refusal_reaches_a_client_that_sends_everything_first(service: LiveService, connection: str) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=X", "Connection": connection}
    with closing(connect(service)) as client:
        client.request("POST", "/query", body=bytes(REFUSED), headers=headers)
        answer = client.getresponse()
        assert (answer.status, json.loads(answer.read())["title"]) == (413, "Body too large")
        client.request("GET", "/healthz")  # on the same connection, or on a new one
        assert json.loads(client.getresponse().read()) == {"status": "alive"}


def test_a_refusal_reaches_a_proxy_that_speaks_http_1_0(service: LiveService) -> None:
    head = f"POST /query HTTP/1.0\r\nContent-Type: text/plain\r\nContent-Length: {REFUSED}\r\n\r\n"
    assert raw(service, head.encode() + bytes(REFUSED))[0] == 413


UPGRADE = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"


@pytest.mark.parametrize(
    "framing", ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
)
def test_a_body_that_comes_with_an_offer_of_http_2_is_read(service: LiveService, framing: str) -> None:
    head = "PATCH /gallery/0 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    status, body = raw(service, f"{head}{UPGRADE}{framing}".encode())
    assert (status, "expecting value at line 1" in json.loads(body)["detail"]) == (400, True)
    assert raw(service, f"{head}{UPGRADE}Content-Length: 2\r\n\r\n{{}}".encode())[0] == 404


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ("GET /gallery?identity=Zoë HTTP/1.1\r\nHost: x\r\n\r\n", "percent-encode"),
        ("CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", "percent-encode"),
        ("hello\r\n\r\n", "no request of HTTP/1.1"),
        ("GET /healthz HTTP/1.1\nHost: x\n\n", "no request of HTTP/1.1"),
        ("POST /query HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "Content-Length"),
    ],
)
def test_what_is_no_http_is_a_problem_too(service: LiveService, request_: str, said: str) -> None:
    status, body = raw(service, request_.encode())
    problem = json.loads(body)
    assert (status, problem["type"]) == (400, "urn:sanet:problem:malformed-request")
    assert said in problem["detail"]


SLOW_HEADS = """
import sys
from service import http_protocol
http_protocol._HEAD_S = 1.0
from service.__main__ import main
sys.argv = ["service"]
sys.exit(main())
"""


@pytest.mark.parametrize("sent", [b"", b"G", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_a_head_that_never_ends_is_given_up(small_checkpoint: Path, tmp_path: Path, sent: bytes) -> None:
    class Impatient(LiveService):
        command = ("-c", SLOW_HEADS)

    with Impatient(small_checkpoint, tmp_path / "data") as service:
        address = (service.client.base_url.host, service.client.base_url.port)
        with socket.create_connection(address, timeout=30) as connection:
            connection.sendall(sent)
            assert connection.recv(100) == b""  # it is closed, within the test's own 30 s
        with socket.create_connection(address, timeout=30) as connection:
            for _ in range(2):  # a body may take longer, and so may the next request on the connection
                connection.sendall(b"PATCH /gallery/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
                time.sleep(1.5)
                connection.sendall(b"{}")
                assert connection.recv(4000).startswith(b"HTTP/1.1 4")
