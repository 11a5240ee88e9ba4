"""How much a client may send: more is refused before it fills the memory or the disk."""

from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A refused client first gets to send this much more, because most read no answer before they have sent everything.
_DRAINED_BYTES: Final = 256 * 2**20


class BodyLimit:
    """Refuses a request whose body is larger than `limit` allows for its path with 413, by its header or by count."""

    def __init__(self, app: ASGIApp, limit: Callable[[str], int]) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit(scope["path"])
        announced = Headers(scope=scope).get("content-length", "0")
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit or int(announced) > limit:
                await _drain(message, receive)
                raise HTTPException(413, f"the body is larger than {limit:,} bytes: send less at once")
            return message

        await self._app(scope, limited, send)


async def _drain(message: Message, receive: Receive) -> None:
    drained = 0
    while message.get("more_body") and drained < _DRAINED_BYTES:
        message = await receive()
        drained += len(message.get("body", b""))
