"""HTTP as clients speak it that send before they read, offer other protocols, or speak none."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
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


SECOND = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
AMBIGUOUS = {
    "a length and chunks": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 34\r\n\r\n",
    "two lengths in one": b"Content-Length: 0, 34\r\n\r\n",
    "a length with a sign": b"Content-Length: +34\r\n\r\n",
    "a length beyond 64 bits": b"Content-Length: 18446744073709551616\r\n\r\n",
    "an unknown encoding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks that are not the last encoding": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "two encodings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a folded header": b"X: a\r\n Content-Length: 34\r\n\r\n",
    "a folded encoding": b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "LF alone": b"X: a\nContent-Length: 34\r\n\r\n",
    "CR alone": b"X: a\rContent-Length: 34\r\n\r\n",
    "a zero byte": b"X: a\0b\r\nContent-Length: 34\r\n\r\n",
    "a chunk beyond 64 bits": b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
    "a negative chunk": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    "a chunk with a prefix": b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
    "a chunk that ends in LF": b"Transfer-Encoding: chunked\r\n\r\n0\n\n",
    "a chunk that is longer than it says": b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_a_request_within_another_is_not_answered(service: LiveService, kind: str) -> None:
    """Where a proxy may see its end elsewhere than the service, it is refused, and nothing after it is read."""
    address = (service.client.base_url.host, service.client.base_url.port)
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(b"POST /query HTTP/1.1\r\nHost: x\r\n" + AMBIGUOUS[kind] + SECOND)
        answers = b""
        while more := connection.recv(65536):
            answers += more
    assert answers.startswith(b"HTTP/1.1 400 ")
    assert answers.count(b"HTTP/1.1 ") == 1
    assert b"alive" not in answers


CHUNKED = b"Host: x\r\nContent-Type: multipart/form-data; boundary=x\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "whole head": (b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 65_600 + b"\r\n\r\n", b""),
    "address": (b"GET /", b"a" * 1000),
    "header": (b"GET /healthz HTTP/1.1\r\nX-Endless: ", b"a" * 1000),
    "headers": (b"GET /healthz HTTP/1.1\r\n", b"X-Endless: a\r\n" * 80),
    "lines before": (b"", b"\r\n" * 500),
    "extension of a chunk": (b"POST /query HTTP/1.1\r\n" + CHUNKED + b"3;", b"a" * 1000),
    "trailers": (b"POST /query HTTP/1.1\r\n" + CHUNKED + b"3\r\nabc\r\n0\r\n", b"X-Endless: a\r\n" * 80),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_head_that_is_endless_is_refused(service: LiveService, kind: str) -> None:
    begin, more = ENDLESS[kind]
    status, body = raw(service, begin + 1000 * more)
    assert (status, json.loads(body)["type"]) == (431, "urn:sanet:problem:head-too-large")
    assert "more than 65,536 bytes" in json.loads(body)["detail"]
    assert service.client.get("/healthz").status_code == 200


@pytest.mark.parametrize("num_bytes", [1, 4])
def test_a_long_head_and_a_body_in_small_chunks_are_served(service: LiveService, num_bytes: int) -> None:
    chunk = b"%x;%b\r\n%b\r\n" % (num_bytes, b"a" * 100, b"x" * num_bytes)
    head = b"POST /query HTTP/1.1\r\nX-Long: " + b"a" * 60_000 + b"\r\n" + CHUNKED
    status, body = raw(service, head + 5000 * chunk + b"0\r\n\r\n")
    assert (status, json.loads(body)["type"]) == (400, "urn:sanet:problem:malformed-request")
    assert "multipart form" in json.loads(body)["detail"]
    address = "/gallery?" + "&".join(["camera=" + "c" * 200] * 300)
    status, body = raw(service, f"GET {address} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert (status, json.loads(body)["total"]) == (200, 0)


SLOW_HEADS = """
import sys
from service import http_protocol
http_protocol._HEAD_S = 1.0
from service.__main__ import main
sys.argv = ["service"]
sys.exit(main())
"""


class Impatient(LiveService):
    command = ("-c", SLOW_HEADS)


@pytest.fixture(scope="module")
def impatient(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """The address of a service that waits a second for a head."""
    with Impatient(small_checkpoint, tmp_path_factory.mktemp("impatient") / "data") as service:
        yield service.client.base_url.host, service.client.base_url.port or 0


@pytest.mark.parametrize("sent", [b"", b"G", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_a_head_that_never_ends_is_given_up(impatient: tuple[str, int], sent: bytes) -> None:
    with socket.create_connection(impatient, timeout=30) as connection:
        connection.sendall(sent)
        assert connection.recv(100) == b""  # it is closed, within the test's own 30 s


def test_a_body_may_take_longer_than_a_head_and_so_may_the_next_request(impatient: tuple[str, int]) -> None:
    with socket.create_connection(impatient, timeout=30) as connection:
        for _ in range(2):
            connection.sendall(b"PATCH /gallery/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
            time.sleep(1.5)
            connection.sendall(b"{}")
            assert connection.recv(4000).startswith(b"HTTP/1.1 4")


def test_a_connection_on_which_nothing_was_begun_is_given_up(impatient: tuple[str, int]) -> None:
    early = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    sent = [(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n"), (early, b"{"), (early, b"{" * 100)]
    with ExitStack() as opened:
        connections = [opened.enter_context(socket.create_connection(impatient, timeout=30)) for _ in sent]
        for connection, (request, after) in zip(connections, sent, strict=True):
            connection.sendall(request)
            assert connection.recv(4000).startswith(b"HTTP/1.1 ")
            connection.sendall(after)
        for connection in connections:
            while connection.recv(4000):  # until it is closed, within the test's own 30 s
                pass
