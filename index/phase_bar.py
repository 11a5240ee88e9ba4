"""Progress bars for work that has several parts, one after the other."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from tqdm import tqdm


@contextmanager
def phase_bar(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Yields what shows how far a part is, by its name, what is done of it and how much there is. `quiet`: no bars."""
    bars: dict[str, tqdm[NoReturn]] = {}

    def show(phase: str, done: int, total: int) -> None:
        if phase not in bars:
            for earlier in bars.values():
                earlier.close()
            bars[phase] = tqdm(desc=phase, total=total, disable=quiet)
        bars[phase].update(done - bars[phase].n)

    try:
        yield show
    finally:
        for bar in bars.values():
            bar.close()
