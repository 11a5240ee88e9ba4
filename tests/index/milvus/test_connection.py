"""What a server gets to see of the options, and what becomes of its refusals. It refuses everything."""

import base64
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from index.gallery.errors import GalleryError, GalleryUnavailableError
from index.milvus import connection as connection_module
from index.milvus.client import MilvusException
from index.milvus.connection import Connection, NotLoadedError
from index.milvus.options import MilvusOptions


class RefusingServer(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Notes the metadata of calls."""

    def __init__(self, credentials: Any = None) -> None:
        self.metadata: list[dict[str, Any]] = []
        self._server = grpc.server(ThreadPoolExecutor(2))
        self._server.add_generic_rpc_handlers([self])
        address = "127.0.0.1:0"
        if credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, credentials)
        self._server.start()

    def service(self, details: Any) -> None:
        self.metadata.append(dict(details.invocation_metadata))

    def stop(self) -> None:
        self._server.stop(None).wait()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A folder with `key.pem` and the certificate of `gallery.test`, which signs itself."""
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=gallery.test",
            "-addext", "subjectAltName=DNS:gallery.test", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "ca.pem",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return tmp_path


@pytest.fixture
def server() -> Iterator[RefusingServer]:
    server = RefusingServer()
    yield server
    server.stop()


@pytest.fixture
def tls_server(certificate: Path) -> Iterator[RefusingServer]:
    pair = ((certificate / "key.pem").read_bytes(), (certificate / "ca.pem").read_bytes())
    server = RefusingServer(grpc.ssl_server_credentials([pair]))
    yield server
    server.stop()


def ask(options: MilvusOptions) -> None:
    connection = Connection(options)
    try:
        connection.call("has_collection", collection_name="a")
    finally:
        connection.close()


def assert_token(server: RefusingServer) -> None:
    token = base64.b64encode(b"root:secret").decode()
    assert {one["authorization"] for one in server.metadata} == {token}


def test_the_token_goes_with_every_call_and_into_no_message(server: RefusingServer) -> None:
    with pytest.raises(GalleryError, match=r"Milvus at 127.0.0.1:[0-9]+") as error:
        ask(MilvusOptions(f"http://127.0.0.1:{server.port}", token="root:secret", timeout_s=60))
    assert not isinstance(error.value, GalleryUnavailableError)
    assert "secret" not in str(error.value)
    assert_token(server)


def test_a_server_with_a_certificate_is_believed_if_the_authority_is(
    tls_server: RefusingServer, certificate: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    options: dict[str, Any] = {
        "uri": f"https://127.0.0.1:{tls_server.port}",
        "token": "root:secret",
        "server_name": "gallery.test",
    }
    with pytest.raises(GalleryError) as error:
        ask(MilvusOptions(**options, ca_file=certificate / "ca.pem", timeout_s=60))
    assert not isinstance(error.value, GalleryUnavailableError)
    assert_token(tls_server)
    tls_server.metadata.clear()
    with pytest.raises(GalleryUnavailableError):
        ask(MilvusOptions(**options, timeout_s=1))
    with pytest.raises(GalleryUnavailableError):
        ask(MilvusOptions(**{**options, "server_name": "other.test"}, ca_file=certificate / "ca.pem", timeout_s=1))
    assert tls_server.metadata == []


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (MilvusException(code=101, message="collection not loaded"), NotLoadedError),
        (MilvusException(code=103, message="not fully loaded"), NotLoadedError),
        (MilvusException(code=8, message="rate limit exceeded"), GalleryUnavailableError),
        (MilvusException(code=503, message="channel not available", retriable=True), GalleryUnavailableError),
        (MilvusException(code=grpc.StatusCode.UNAVAILABLE, message="Retry timeout: 1s"), GalleryUnavailableError),
        (MilvusException(code=grpc.StatusCode.DEADLINE_EXCEEDED, message=""), GalleryUnavailableError),
        (MilvusException(code=1100, message="invalid parameter", is_input_error=True), GalleryError),
        (MilvusException(code=1, message="no such field"), GalleryError),
    ],
)
def test_what_passes_is_told_from_what_does_not(
    monkeypatch: pytest.MonkeyPatch, refusal: MilvusException, error: type[GalleryError]
) -> None:
    class Client:
        def query(self, **_: Any) -> None:
            raise refusal

    connection = Connection(MilvusOptions("http://milvus:19530", timeout_s=0.01))
    monkeypatch.setattr(connection, "_connected", Client)
    with pytest.raises(GalleryError) as raised:
        connection.call("query")
    assert type(raised.value) is error
    assert "Milvus at milvus:19530" in str(raised.value)


class Client:
    """Is away, until it is not."""

    def __init__(self) -> None:
        self.is_there, self.is_there_next, self.num_asked = False, False, 0
        self.looks, self.may_fail = threading.Event(), threading.Event()

    def query(self, **_: Any) -> str:
        self.num_asked += 1
        if self.is_there:
            return "an answer"
        self.looks.set()
        assert self.may_fail.wait(60)
        self.is_there = self.is_there_next
        raise MilvusException(code=grpc.StatusCode.UNAVAILABLE, message="away")


def test_while_a_server_is_away_one_call_at_a_time_looks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    connection, client = Connection(MilvusOptions("http://milvus:19530", timeout_s=0.01)), Client()
    monkeypatch.setattr(connection, "_connected", lambda: client)
    client.may_fail.set()
    with pytest.raises(GalleryUnavailableError):
        connection.call("query")
    client.looks.clear()
    client.may_fail.clear()
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(connection.call, "query")
        assert client.looks.wait(60)
        num_asked = client.num_asked
        for _ in range(5):
            with pytest.raises(GalleryUnavailableError, match="it is away"):
                connection.call("query")
        assert client.num_asked == num_asked
        client.may_fail.set()
        with pytest.raises(GalleryUnavailableError, match="UNAVAILABLE"):
            looking.result()
    client.is_there = True
    assert connection.call("query") == "an answer"
    # From then on a moment of absence is bridged again.
    client.is_there, client.is_there_next = False, True
    connection.options = MilvusOptions("http://milvus:19530", timeout_s=600)
    assert connection.call("query") == "an answer"


def test_a_moment_of_absence_is_bridged(monkeypatch: pytest.MonkeyPatch) -> None:
    class Restarting:
        num_asked = 0

        def query(self, **_: Any) -> str:
            self.num_asked += 1
            if self.num_asked < 4:
                raise MilvusException(code=grpc.StatusCode.UNAVAILABLE, message="away")
            return "an answer"

    connection, client = Connection(MilvusOptions("http://milvus:19530", timeout_s=600)), Restarting()
    monkeypatch.setattr(connection, "_connected", lambda: client)
    monkeypatch.setattr(connection_module, "_PAUSE_S", 0)
    assert connection.call("query") == "an answer"
