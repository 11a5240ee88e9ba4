"""A client that went away: nobody reads the answer, so nobody needs to work for it any more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request


class ClientGoneError(Exception):
    """The client closed the connection before it was answered."""


@asynccontextmanager
async def while_connected(request: Request) -> AsyncIterator[None]:
    """Cancels the block when the client disconnects; the request's body must have been read.

    Raises:
        ClientGoneError: it did.
    """
    working = asyncio.current_task()
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone = True
        if working is not None:
            working.cancel()

    watching = asyncio.create_task(watch())
    try:
        yield
        if gone:
            await asyncio.sleep(0)  # where the cancellation that came with the last step is delivered
    except asyncio.CancelledError:
        if not gone or working is None:
            raise
        working.uncancel()
        raise ClientGoneError("the client closed the connection before it was answered") from None
    finally:
        watching.cancel()
