"""What goes wrong in a soak, and when each of it did: an answer may only be one of those that the contract names."""

import json
import os
import random
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx2

from benchmarks.live_service import LiveService
from tests.conftest import png

MAY_BE_ANSWERED: Final = {"kill": {503}, "full disk": {507}, "failing device": {503}}
"""The statuses of 500 and more that a request may have while a fault holds; after a kill the service loads first."""

DISK_BYTES: Final = 1 << 30

_DEVICE_THAT_FAILS: Final = """
import sys
from pathlib import Path

from model.embedder import Embedder
from service import worker
from service.__main__ import main

embed_prepared = Embedder.embed_prepared

def embed_or_fail(self, images):
    if Path({failing!r}).exists():
        raise RuntimeError("CUDA error: invalid configuration argument")
    return embed_prepared(self, images)

Embedder.embed_prepared = embed_or_fail
worker._PROBE_EVERY_S = 0.1
sys.argv = ["service"]
sys.exit(main())
"""


class SoakedService(LiveService):
    """A service whose device fails as long as the file `failing` is there."""

    ready_within_s = 600  # clients go on while it starts

    def __init__(self, checkpoint: Path, data_dir: Path, failing: Path, **settings: str) -> None:
        self.command = ("-c", _DEVICE_THAT_FAILS.format(failing=str(failing)))
        super().__init__(checkpoint, data_dir, **settings)

    @property
    def address(self) -> tuple[str, int]:
        """Its host and port, which stay the same over all its starts."""
        return self.client.base_url.host, self.client.base_url.port or 80


@contextmanager
def own_disk(folder: Path) -> Iterator[bool]:
    """Whether the folder is a disk of its own, in memory: that needs root, and a container's leave."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(folder)]
    is_mounted = (
        shutil.which("mount") is not None and not subprocess.run(mount, capture_output=True, check=False).returncode
    )
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


class ServiceLostError(Exception):
    """The service did not come back after a fault, so that nobody needs to ask it any more."""


class Faults:
    """The faults of a soak, and the times at which each held. Several threads ask, one makes faults.

    Attributes:
        num: how often each fault came.
        service: what they are done to.
    """

    def __init__(self, service: SoakedService, failing: Path, disk: Path | None, rng: random.Random) -> None:
        self.num: Counter[str] = Counter()
        self.service, self._failing, self._disk, self._rng = service, failing, disk, rng
        self._lock = threading.Lock()
        self._held: list[tuple[str, float, float]] = []  # name, begin, end; of one that holds, infinity
        self._ghost = 0
        self._is_lost = False

    def held_since(self, moment: float) -> set[str]:
        """The faults that held at some time from that moment (of `time.monotonic`) on.

        Raises:
            ServiceLostError: the service did not come back after one.
        """
        if self._is_lost:
            raise ServiceLostError
        with self._lock:
            return {name for name, _, end in self._held if end >= moment}

    def names(self, with_kill: bool) -> list[str]:
        """The faults that can be made here."""
        names = ["failing device", "gone in the body", "gone before the answer", "gone in the answer", "no HTTP"]
        if self._disk is not None:
            names.append("full disk")
        if not with_kill:
            return names
        return ["kill"] + (["kill on a full disk"] if self._disk is not None else []) + names

    def make(self, name: str, seconds: float) -> None:
        """One fault, which holds for about so many seconds if it is one that lasts."""
        self.num[name] += 1
        try:
            self._make(name, seconds)
        except BaseException:
            self._is_lost = True
            raise

    @property
    def num_ghosts(self) -> int:
        """How many enrolments were sent whole by clients that did not wait for the answer; see `make`."""
        return self._ghost

    def _make(self, name: str, seconds: float) -> None:
        match name:
            case "kill":
                with self._holding("kill"):
                    self.service.kill()
                    self.service.start()
            case "failing device":
                with self._holding(name):
                    self._failing.touch()
                    time.sleep(seconds)
                    self._failing.unlink()
                    self._wait_until_ready()
            case "full disk":
                with self._full_disk():
                    time.sleep(seconds)
            case "kill on a full disk":
                with self._holding("kill"):
                    with self._full_disk():
                        time.sleep(seconds)
                        self.service.kill()
                    self.service.start()
            case "gone in the body":
                head, body = self._enrolment(self._rng.randrange(1000), "gone in the body")
                self._send(head + body[: self._rng.randrange(len(body))])
            case "gone before the answer":
                # Four pictures that nobody else sends: at the end all of them are there, or none.
                self._ghost += 1
                head, body = self._enrolment(self._ghost, f"ghost {self._ghost}")
                self._send(head + body)
            case "gone in the answer":
                path = self._rng.choice(["/gallery?limit=1000", "/metrics", "/openapi.json", "/docs"])
                self._send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), num_read=self._rng.randrange(1, 400))
            case "no HTTP":
                self._send(self._rng.randbytes(self._rng.randrange(1, 2000)), num_read=100)

    @contextmanager
    def _holding(self, name: str) -> Iterator[None]:
        with self._lock:
            self._held.append((name, time.monotonic(), float("inf")))
            place = len(self._held) - 1
        yield
        with self._lock:
            self._held[place] = (name, self._held[place][1], time.monotonic())

    @contextmanager
    def _full_disk(self) -> Iterator[None]:
        assert self._disk is not None
        ballast = self._disk / "ballast"
        left = self._rng.choice([0, self._rng.randrange(1 << 17)])
        with self._holding("full disk"):
            with suppress(OSError), ballast.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, max(shutil.disk_usage(self._disk).free - left, 1))
            yield
            ballast.unlink()

    def _wait_until_ready(self) -> None:
        while self.service.client.get("/readyz").status_code == 503:
            time.sleep(0.05)

    def _enrolment(self, number: int, camera: str) -> tuple[bytes, bytes]:
        """The head and the body of a request that enrols four pictures."""
        files = [("images", (f"{i}.png", png(1_000_000 + 4 * number + i, 24, 16))) for i in range(4)]
        metadata = json.dumps([{"camera": camera}] * 4)
        request = httpx2.Request("POST", "http://x/gallery", files=files, data={"metadata": metadata})
        body = request.read()
        kind = request.headers["content-type"]
        head = f"POST /gallery HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode(), body

    def _send(self, data: bytes, num_read: int = 0) -> None:
        """Sends these bytes, reads some of the answer, and goes away without a word."""
        with suppress(ConnectionError), socket.create_connection(self.service.address, timeout=60) as connection:
            connection.sendall(data)
            if num_read:
                connection.recv(num_read)
