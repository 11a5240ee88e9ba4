"""One line of the log for each request, once its answer is complete."""

import logging
import time
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access.call import CALL, Call
from service.instruments.route_template import RouteTemplates
from service.log_format import FIELDS

_LOG = logging.getLogger("service.access")

_CLIENT_GONE: Final = 499
_MAX_PATH: Final = 300


class AccessLog:
    """Says who asked for what, and how that was answered: never a query string, a header or anything of a body.

    Args:
        app: all of the application, with what gives each request its `Call`.
        routes: all that a request may be for.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._templates = RouteTemplates(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http" or not _LOG.isEnabledFor(logging.INFO):
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        status = _CLIENT_GONE
        num_bytes = 0

        async def noted(message: Message) -> None:
            nonlocal status, num_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
            num_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            self._log(scope, status, num_bytes, time.perf_counter() - start)

    def _log(self, scope: Scope, status: int, num_bytes: int, seconds: float) -> None:
        call: Call = scope[CALL]
        caller = call.caller
        path = quote(scope["path"])
        fields = {
            "client": call.peer,
            "key": None if caller is None else caller.key,
            "key_name": None if caller is None else caller.name,
            "method": scope["method"],
            "route": self._templates.of(scope),
            "path": path if len(path) <= _MAX_PATH else f"{path[:_MAX_PATH]}...",
            "status": status,
            "ms": round(1000 * seconds, 1),
            "bytes": num_bytes,
        }
        _LOG.info(
            "%s %s %s %s %s %d %.1f ms %d bytes",
            call.peer,
            fields["key"] or "-",
            scope["method"],
            fields["path"],
            fields["route"],
            status,
            fields["ms"],
            num_bytes,
            extra={FIELDS: fields},
        )
