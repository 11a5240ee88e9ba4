"""How many requests a key, or an address, may make in some time; counted in memory, from zero at every start."""

import math
import time
from typing import NamedTuple

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter


class Quota(NamedTuple):
    """What is left to somebody.

    Attributes:
        rate: as it was set, such as ``600/minute``.
        remaining: how many requests more, now.
        reset_s: whole seconds, at least 1, until there are more.
    """

    rate: str
    window_s: int
    remaining: int
    reset_s: int

    @property
    def headers(self) -> dict[str, str]:
        """The header fields of draft-ietf-httpapi-ratelimit-headers."""
        limit = self.rate.partition("/")[0]
        return {
            "RateLimit-Policy": f'"requests";q={limit};w={self.window_s}',
            "RateLimit": f'"requests";r={self.remaining};t={self.reset_s}',
        }


class RateLimiter:
    """Counts requests in a window that slides, so that nobody makes twice as many around its border."""

    def __init__(self) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._items: dict[str, RateLimitItem] = {}

    def hit(self, who: str, rate: str) -> tuple[bool, Quota]:
        """Counts one request, unless it is one too many; whether it was not, and what is left."""
        item = self._items.get(rate)
        if item is None:
            item = self._items[rate] = parse(rate)
        is_within = self._limiter.hit(item, who)
        reset_time, remaining = self._limiter.get_window_stats(item, who)
        reset_s = max(1, math.ceil(reset_time - time.time()))
        return is_within, Quota(rate, item.get_expiry(), remaining, reset_s)
