"""SIGINT, SIGTERM and SIGHUP as a wish: what is under way is finished first."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stop_signal() -> Iterator[Callable[[], bool]]:
    """Yields whether a stop was asked for. Asked a second time, the signal does what it did before.

    Only in the main thread, as Python's signals are.
    """
    asked: list[int] = []
    previous: dict[int, Any] = {}

    def ask(number: int, _: object) -> None:
        asked.append(number)
        if len(asked) > 1:
            signal.signal(number, previous[number])
            signal.raise_signal(number)

    for wish in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup has SIGHUP ignored, so that a terminal that is closed stops nothing.
        if wish != signal.SIGHUP or signal.getsignal(wish) is not signal.SIG_IGN:
            previous[wish] = signal.signal(wish, ask)
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
