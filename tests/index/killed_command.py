"""Runs a command that kills itself at the moment of one of its steps on the disk.

python -m tests.index.killed_command STEP index.backup --data-dir ...
"""

import os
import random
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STEPS = {
    "open",
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.truncate",
    "sqlite3.connect",
    "sqlite3.connect/handle",
}


def kills(command: Sequence[object], num_kills: int, seed: int) -> Iterator[int]:
    """Runs a command again and again, killed at random steps, and yields after each; the last comes to its end."""
    rng = random.Random(seed)
    # Some kills come at the very beginning, some beyond the end of the small galleries of the tests.
    for step in [*(rng.randrange(1, 160) for _ in range(num_kills)), 1_000_000]:
        status = _run(step, command)
        assert status in (0, -signal.SIGKILL)
        yield step
    assert status == 0


def _run(step: int, command: Sequence[object]) -> int:
    arguments = [sys.executable, "-m", "tests.index.killed_command", str(step), *map(str, command)]
    return subprocess.run(arguments, cwd=ROOT, check=False, stdout=subprocess.DEVNULL).returncode


def main() -> None:
    last, module = int(sys.argv[1]), sys.argv[2]
    sys.argv = sys.argv[2:]
    steps = count(1)
    folder = os.path.commonpath([argument for argument in sys.argv if argument.startswith("/")])

    def on_event(event: str, args: tuple[object, ...]) -> None:
        if event in STEPS and args and str(args[0]).startswith(folder) and next(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(on_event)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
