"""A real server for the tests: `milvus-lite server` in an environment of its own, over gRPC."""

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

_PATIENCE_S = 120


class MilvusServer:
    """One process over a folder. It can be killed, and started again over what the folder holds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it listens, at the port that it had before."""
        environment = os.environ.get("MILVUS_LITE")
        if environment is None:
            pytest.skip("only `make test` installs the Milvus of the tests")
        self._folder.mkdir(parents=True, exist_ok=True)
        for _ in range(5):  # another program may take a free port first
            port = self.port or _free_port()
            with (self._folder / "server.log").open("ab") as log:
                process = subprocess.Popen(
                    [
                        str(Path(environment) / "bin" / "milvus-lite"), "server", "--host", "127.0.0.1",
                        "--port", str(port), "--data-dir", str(self._folder / "data"),
                    ],
                    stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"},
                )  # fmt: skip
            if _listens(process, port):
                self.port, self._process = port, process
                return
        raise AssertionError((self._folder / "server.log").read_text())

    def kill(self) -> None:
        """As a machine that fails."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_PATIENCE_S)
            self._process = None

    def close(self) -> None:
        """Nothing needs it any more."""
        self.kill()


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    end = time.monotonic() + _PATIENCE_S
    while process.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return process.poll() is None
    process.kill()
    process.wait(_PATIENCE_S)
    return False
