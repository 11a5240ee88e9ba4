"""Requests that the service cannot finish before it ends: an answer that says so, instead of an error of the server."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import problem

_RETRY_AFTER_S = 10


class CutOff:
    """Answers 503 to a request that is cancelled because the service has waited for it long enough while it ends.

    An answer that has begun is broken off. Where the client is gone, the request is not cancelled as a whole.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, as ASGI has it."""
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except asyncio.CancelledError:
            if scope["type"] != "http" or begun:
                raise
            answer = problem(
                503,
                "Shutting down",
                "the service is being stopped and did not finish the request: send it again once it runs",
                headers={"Retry-After": str(_RETRY_AFTER_S), "Connection": "close"},
            )
            await answer(scope, receive, noted)
