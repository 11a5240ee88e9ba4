"""What every answer has, whatever answers: the request's id, and headers that keep browsers from misusing it."""

from typing import Final

from opentelemetry.trace import get_current_span
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access.call import CALL, Call, choose_request_id, set_request_id

REQUEST_ID: Final = "X-Request-Id"

SECURITY_HEADERS: Final = {
    # An answer is what its type says, and nothing else; an image that somebody enrolled is never a page.
    "X-Content-Type-Options": "nosniff",
    # Nothing that this service answers is a page that may load or run anything; /docs has a policy of its own.
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Not Strict-Transport-Security: only the proxy that has the certificate knows whether all of its host is HTTPS."""


class AnswerHeaders:
    """Gives each request its `Call`, and each answer its headers; those that a route sets itself stay.

    Args:
        app: all of the application, with its answer to internal errors.
        resource_policy: which sites may show our images: the value of ``Cross-Origin-Resource-Policy``.
    """

    def __init__(self, app: ASGIApp, resource_policy: str) -> None:
        self._app = app
        self._headers = SECURITY_HEADERS | {"Cross-Origin-Resource-Policy": resource_policy}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        request_id = choose_request_id(Headers(scope=scope).get(REQUEST_ID))
        call = Call(request_id, "unknown" if client is None else client[0])
        scope[CALL] = call
        # Each request has a task of its own, so that nothing has to be set back.
        set_request_id(request_id)
        get_current_span().set_attribute("sanet.request_id", request_id)  # where nobody traces, of no span

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers.update(call.headers)
                headers[REQUEST_ID] = request_id
            await send(message)

        await self._app(scope, receive, send_with_headers)
