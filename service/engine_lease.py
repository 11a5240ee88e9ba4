"""Each request takes the engine once, when it begins: one answer is of one model, whatever serves by then."""

from starlette.datastructures import MutableHeaders, State
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.engine import Engine
from service.serving import LEASE


class LeaseEngine:
    """Holds the engine until the answer begins, and names its model in a header of every answer.

    The answer is complete by then; what is streamed (events, files) needs no gallery.
    """

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        opened: Engine | None = getattr(self._state, "engine", None)
        if opened is None or scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        lease = opened.serving.lease()
        scope[LEASE] = lease

        async def release_and_name(message: Message) -> None:
            if message["type"] == "http.response.start":
                card = lease.engine.card
                lease.release()
                trained = "trained" if card.trained else "untrained"
                MutableHeaders(scope=message).append("SANet-Model", f"{card.fingerprint}; {trained}")
            await send(message)

        try:
            await self._app(scope, receive, release_and_name)
        finally:
            lease.release()
