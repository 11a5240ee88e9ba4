"""An HTTP client that does next to nothing: a connection that is kept, and answers as they come."""

import asyncio
import time
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self


class Answer(NamedTuple):
    """What came to a request, and when it was sent and answered, by `time.perf_counter`."""

    sent_at: float
    answered_at: float
    status: int
    body: bytes


class Connection:
    """One connection to a service, as an ``async with`` block; opened anew where the service has closed it."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> Answer:
        """Sends a whole request and reads the whole answer.

        Raises:
            OSError, asyncio.IncompleteReadError: the service gave none.
        """
        sent_at = time.perf_counter()
        if self._streams is None or self._streams[0].at_eof():
            await self._close()
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        num_bytes = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(num_bytes)
        answered_at = time.perf_counter()
        if b"\r\nconnection: close" in head:
            await self._close()
        return Answer(sent_at, answered_at, int(head.split(b" ", 2)[1]), body)

    async def _close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            with suppress(OSError):
                await self._streams[1].wait_closed()
            self._streams = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()
