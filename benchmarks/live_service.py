"""A real service in a process of its own, over real sockets: what measurements and end-to-end tests talk to."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import httpx2


class LiveService:
    """``python -m service`` on a free port of the loopback, as a ``with`` block.

    Attributes:
        client: an HTTP client with the service's address as its base.
        ready_s: seconds from the start of the process to the first yes of ``/readyz``.
        exit_code: of the last process that ended.
    """

    command: tuple[str, ...] = ("-m", "service")
    """What Python runs; a test's own service may be another."""

    ready_within_s: float = 120
    """How long a start may take."""

    def __init__(self, checkpoint: Path, data_dir: Path, **settings: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("SANET_")} | {
            "SANET_CHECKPOINT": str(checkpoint),
            "SANET_DATA_DIR": str(data_dir),
            "SANET_PORT": str(port),
            **{f"SANET_{name.upper()}": value for name, value in settings.items()},
        }
        self._log = data_dir.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None
        # Less than the 5 s after which the service closes a silent connection: none is used just then.
        limits = httpx2.Limits(keepalive_expiry=1)
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=600, limits=limits)
        self.ready_s = 0.0
        self.exit_code: int | None = None

    def start(self) -> None:
        """Starts the process and waits until it is ready.

        Raises:
            RuntimeError: it ended, or was not ready in time; with the end of its log.
        """
        start = time.perf_counter()
        self._output = self._log.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, *self.command], env=self._environment, stdout=self._output, stderr=self._output
        )
        while time.perf_counter() - start < self.ready_within_s and self._process.poll() is None:
            try:
                if self.client.get("/readyz").status_code == 200:
                    self.ready_s = time.perf_counter() - start
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"the service did not become ready:\n{self.log()[-2000:]}")

    @property
    def resident_mb(self) -> float:
        """What the process has in memory now; it must run."""
        if self._process is None:
            raise RuntimeError("the service does not run: start it first")
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1000

    def kill(self) -> None:
        """SIGKILL: nothing of the process gets to run any more."""
        self.end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        return self.end(signal.SIGTERM)

    def log(self) -> str:
        """All that the service has logged so far, over all its starts."""
        return self._log.read_text()

    def end(self, signal_number: int) -> int:
        """Sends a signal, and the exit code; 0 if nothing runs."""
        self.send_signal(signal_number)
        return self.wait()

    def send_signal(self, signal_number: int) -> None:
        """Sends a signal, and does not wait for what comes of it."""
        if self._process is not None:
            self._process.send_signal(signal_number)

    def wait(self) -> int:
        """The exit code, once the process has ended by itself; 0 if nothing runs."""
        if self._process is None or self._output is None:
            return 0
        self.exit_code = self._process.wait(60)
        self._output.close()
        self._process = None
        return self.exit_code

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.client.close()
