"""A PostgreSQL server of the tests' own: in a temporary folder, on a Unix socket, as a user who is not root."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psycopg

_START_S: Final = 120


def _program(name: str) -> str:
    """Debian has its programs in a folder of each version."""
    found = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))]
    program = found[-1] if found else shutil.which(name)
    assert program is not None, f"{name} is missing: the tests need PostgreSQL (Debian's package postgresql)"
    return program


def _memory() -> str | None:
    """A folder in memory, where there is one with room for some databases."""
    shared_memory = "/dev/shm"
    is_large = Path(shared_memory).is_dir() and shutil.disk_usage(shared_memory).free > 2_000_000_000
    return shared_memory if is_large else None


# The server refuses to run as root.
_AS_POSTGRES: Final = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []


class PostgresServer:
    """A server with the user `postgres`, who needs no password.

    Attributes:
        folder: of its data and its socket.
    """

    def __init__(self, *, syncs: bool = False) -> None:
        """Starts it, in memory where there is room. With `syncs` a commit waits for the disk, as it does in use."""
        # Not in pytest's own folder: only its owner may enter that, and the name of a socket has at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=_memory()))
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self._syncs = syncs
        self._numbers = count(1)
        self._log = self.folder / "log"
        initdb = [_program("initdb"), "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        made = self._run([*initdb, "--data-checksums", "--no-sync", "-D", str(self.folder / "data")])
        assert made.returncode == 0, made.stdout
        self.start()

    def start(self) -> None:
        """Starts it again, and waits until it answers."""
        sync = "on" if self._syncs else "off"
        settings = [f"fsync={sync}", f"full_page_writes={sync}", "listen_addresses=", "max_connections=100"]
        command = [_program("postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder)]
        for setting in settings:
            command += ["-c", setting]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_AS_POSTGRES, *command], stdout=log, stderr=log, cwd="/", env=self._environment()
            )
        give_up = time.monotonic() + _START_S
        while True:
            try:
                self.execute("SELECT 1")
                return
            except psycopg.OperationalError:
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < give_up, self._log.read_text()
                time.sleep(0.05)

    def stop(self) -> None:
        """Ends its connections and stops it."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Stops it without writing anything any more; it recovers from its log when it is started again."""
        self._end(signal.SIGQUIT)

    def remove(self) -> None:
        """Stops it, and removes all that it had."""
        self.crash()
        shutil.rmtree(self.folder)

    def create_database(self) -> str:
        """The address of a new, empty database."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Removes one, also while somebody is connected to it."""
        self.execute(f"DROP DATABASE {url.rpartition('/')[2].partition('?')[0]} WITH (FORCE)")

    def url(self, database: str) -> str:
        """The address of a database."""
        return f"postgresql://postgres@/{database}?host={quote(str(self.folder), safe='')}"

    def execute(self, sql: str, *parameters: object, url: str | None = None) -> list[tuple[Any, ...]]:
        """What a statement gives, committed, over a connection of its own."""
        with psycopg.connect(url or self.url("postgres"), autocommit=True) as connection:
            cursor = connection.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def _end(self, sign: int) -> None:
        self._process.send_signal(sign)
        self._process.wait(_START_S)

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*_AS_POSTGRES, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env=self._environment(),
        )

    @staticmethod
    def _environment() -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "LC_ALL": "C"}
