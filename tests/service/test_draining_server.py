import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import uvicorn

from benchmarks.live_service import LiveService
from service.draining_server import DrainingServer
from tests.conftest import png


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


class Upload:
    """An enrolment of a picture that has sent its head and half of its body, and is being read."""

    def __init__(self, service: LiveService, seed: int) -> None:
        file = (
            b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
            + png(seed)
            + b"\r\n--x--\r\n"
        )
        self._rest = file[len(file) // 2 :]
        self._connection = socket.create_connection(address_of(service), timeout=60)
        request = (
            f"POST /gallery HTTP/1.1\r\nHost: x\r\nContent-Length: {len(file)}\r\nExpect: 100-continue\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        )
        self._connection.sendall(request.encode())
        assert self._connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        self._connection.sendall(file[: len(file) // 2])

    def finish(self) -> bytes:
        """Sends the rest; the answer."""
        with self._connection:
            self._connection.sendall(self._rest)
            parts = iter(lambda: self._connection.recv(65536), b"")
            return b"".join(parts)  # until the service closes the connection, because it ends


def address_of(service: LiveService) -> tuple[str, int]:
    url = service.client.base_url
    return url.host, url.port or 0


def is_closed(service: LiveService) -> bool:
    try:
        socket.create_connection(address_of(service), timeout=60).close()
    except ConnectionRefusedError:
        return True
    return False


def test_while_it_drains_it_answers_and_only_readyz_says_no(small_checkpoint: Path, tmp_path: Path) -> None:
    with LiveService(small_checkpoint, tmp_path / "data", drain_s="3600") as service:
        client = service.client
        upload = Upload(service, 1)
        service.send_signal(signal.SIGTERM)
        wait_until(lambda: client.get("/readyz").status_code == 503)
        problem = client.get("/readyz").json()
        assert problem["type"] == "urn:sanet:problem:shutting-down"
        assert "send requests elsewhere" in problem["detail"]
        assert "\nsanet_ready 0.0\n" in client.get("/metrics").text
        # New connections are taken, and requests answered; clients are asked to come again on another connection.
        wait_until(lambda: client.get("/healthz").headers.get("connection") == "close")
        assert client.post("/query", files={"image": png(1)}).status_code == 200
        assert client.post("/gallery", files={"images": png(2)}).status_code == 201
        # Who does not want to wait for balancers says so once more.
        service.send_signal(signal.SIGTERM)
        wait_until(lambda: is_closed(service))
        assert upload.finish().startswith(b"HTTP/1.1 201 ")
        assert service.wait() == 0
        service.start()
        assert client.get("/gallery").json()["total"] == 2
        service.kill()  # or it would drain


def test_without_a_drain_the_socket_closes_and_requests_are_finished(small_checkpoint: Path, tmp_path: Path) -> None:
    with LiveService(small_checkpoint, tmp_path / "data") as service:
        upload = Upload(service, 1)
        service.send_signal(signal.SIGTERM)
        wait_until(lambda: is_closed(service))
        assert upload.finish().startswith(b"HTTP/1.1 201 ")
        assert service.wait() == 0
        assert "Traceback" not in service.log()


def test_the_drain_ends_by_itself_after_each_signal(small_checkpoint: Path, tmp_path: Path) -> None:
    for count, number in enumerate((signal.SIGTERM, signal.SIGHUP), start=1):
        with LiveService(small_checkpoint, tmp_path / "data", drain_s="1") as service:
            service.send_signal(number)
            assert service.wait() == 0
            assert service.log().count("other requests have had 1 s to go elsewhere") == count


async def _nothing(*_: object) -> None: ...


def test_where_nobody_is_served_yet_it_does_not_drain() -> None:
    is_serving = False
    server = DrainingServer(uvicorn.Config(_nothing), 3600, lambda: is_serving)
    server.stop()
    assert (server.is_stopping, server.should_exit) == (True, True)
    is_serving = True
    server = DrainingServer(uvicorn.Config(_nothing), 3600, lambda: is_serving)
    server.stop()
    assert (server.is_stopping, server.should_exit) == (True, False)
