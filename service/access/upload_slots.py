"""How many uploads each key has under way: one client's must not take the places of all others."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from service.access.errors import TooManyUploadsError


class UploadSlots:
    """Counts uploads under way, in the one thread of the event loop."""

    def __init__(self, most: int) -> None:
        """At most `most` of each key; 0: as many as come."""
        self._most = most
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def taken(self, who: str) -> Iterator[None]:
        """One upload, while the block runs.

        Raises:
            TooManyUploadsError: there are as many as there may be.
        """
        if self._most and self._under_way[who] >= self._most:
            raise TooManyUploadsError(self._most)
        self._under_way[who] += 1
        try:
            yield
        finally:
            self._under_way[who] -= 1
            if not self._under_way[who]:
                del self._under_way[who]
