"""How much a client may send, and how long it may take: what is beyond is refused before it fills memory or disk."""

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import problem

STALLED_S: Final = 60.0
"""A client that sends nothing for so long in the middle of a body is given up: it holds a place of others."""


class BodyLimit:
    """Refuses a request whose body is larger than `limit` allows for its path with 413, by its header or by count.

    By its header it is refused before anything of the body is read. A client that stalls is answered with 408.
    """

    def __init__(self, app: ASGIApp, limit: Callable[[str], int]) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit(scope["path"])
        message = f"the body is larger than {limit:,} bytes: send less at once"
        if int(Headers(scope=scope).get("content-length", "0")) > limit:
            await problem(413, "Body too large", message)(scope, receive, send)
            return
        received = 0
        whole = False

        async def limited() -> Message:
            nonlocal received, whole
            if whole:  # from here on one waits for the client to go away
                return await receive()
            try:
                part = await asyncio.wait_for(receive(), STALLED_S)
            except TimeoutError:
                raise HTTPException(408, f"nothing of the body came for {STALLED_S:.0f} s: send it again") from None
            received += len(part.get("body", b""))
            whole = not part.get("more_body", False)
            if received > limit:
                raise HTTPException(413, message)
            return part

        await self._app(scope, limited, send)
