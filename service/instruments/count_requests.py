"""Counts the requests of an application, and how long their answers take to begin."""

import time
from collections.abc import Sequence
from typing import Final

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.instruments.instruments import Instruments
from service.instruments.route_template import RouteTemplates
from service.problems import PROBLEM_TYPES

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER_METHOD: Final = "other"
_CLIENT_GONE: Final = "499"


class CountRequests:
    """Around all of an application, so that it sees every answer as the client does.

    Args:
        app: all of the application.
        instruments: that count.
        routes: all that a request may be for.
    """

    def __init__(self, app: ASGIApp, instruments: Instruments, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._instruments = instruments
        self._templates = RouteTemplates(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        status: str | None = None
        seconds = 0.0
        problem_types: list[str] = []
        scope[PROBLEM_TYPES] = problem_types

        async def noted(message: Message) -> None:
            nonlocal status, seconds
            if message["type"] == "http.response.start":
                status, seconds = str(message["status"]), time.perf_counter() - start
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else _OTHER_METHOD
            route = self._templates.of(scope)
            self._instruments.requests.labels(route, method, status or _CLIENT_GONE).inc()
            if status is not None:
                self._instruments.request_seconds.labels(route, method).observe(seconds)
            for problem_type in problem_types:
                self._instruments.problems.labels(problem_type).inc()
