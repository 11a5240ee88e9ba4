"""uvicorn's server, which goes on taking requests for a while after it was told to stop."""

import logging
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

import uvicorn

_LOG = logging.getLogger(__name__)

_CLOSE: Final = (b"connection", b"close")


class DrainingServer(uvicorn.Server):
    """Once it is told to stop, ``/readyz`` says no, and the socket stays open until balancers have noticed.

    Then it closes the socket, finishes the requests under way and ends. A second signal ends the wait, a SIGINT after
    that also breaks the requests off.

    Attributes:
        is_stopping: it was told to stop.
        breakdown: why it stopped by itself; None if it did not.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        drain_s: int,
        is_serving: Callable[[], bool],
        broken: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Drains for `drain_s` seconds, unless `is_serving` says that nobody is served yet.

        As soon as `broken` says why this process cannot serve any more, it stops by itself.
        """
        super().__init__(config)
        self.is_stopping = False
        self.breakdown: str | None = None
        self._broken = broken
        self._drain_s = drain_s
        self._is_serving = is_serving
        self._closes_at = 0.0

    def stop(self) -> None:
        """Begins to stop, and where it was told so before, waits no longer for balancers. For signal handlers."""
        if self.is_stopping or not self._drain_s or not self._is_serving():
            self.should_exit = True
        self.is_stopping = True
        self._closes_at = time.monotonic() + self._drain_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Uvicorn's handler of SIGINT and SIGTERM while it runs."""
        if self.should_exit:
            super().handle_exit(sig, frame)
        else:
            self.stop()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether the socket is to be closed."""
        if self.breakdown is None and (reason := self._broken()) is not None:
            self.breakdown = reason
            if not self.is_stopping:
                self.stop()
        if self.is_stopping and _CLOSE not in self.config.encoded_headers:
            # Clients that keep connections open look for another server with their next request.
            self.config.encoded_headers.append(_CLOSE)
        if self.is_stopping and not self.should_exit and time.monotonic() >= self._closes_at:
            _LOG.info("other requests have had %d s to go elsewhere: the socket is closed", self._drain_s)
            self.should_exit = True
        return await super().on_tick(counter)
