"""Writes the requests of a service to its audit log: before they do something, or when their answer is known."""

import asyncio
from typing import Any, Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access.call import CALL, Call
from service.access.rate_limit import RateLimiter
from service.access.route_rules import Audit
from service.access.scope import Scope as KeyScope
from service.audit.audit_log import AuditLog
from service.audit.audit_store import AuditStoreError
from service.audit.entry import Entry

REFUSED: Final = "refused"
"""The action of a request that was not let in."""

_REFUSALS: Final = (400, 401, 403)
_CLIENT_GONE: Final = 499
_NO_ROOM: Final = 429

# Who has no key must not fill the disk with refusals. Those beyond are counted in the next entry.
_REFUSALS_OF_ADDRESS: Final = "10/minute"
_REFUSALS_OF_ALL: Final = "300/minute"


class Recorder:
    """Turns requests into entries. Used in the one thread of the event loop."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._limiter = RateLimiter()
        self._num_unrecorded = 0

    async def announce(self, call: Call, request: Request) -> None:
        """Records what a request is going to do, if its rule says so.

        Raises:
            AuditStoreError: it is not recorded, and must not be done.
        """
        call.facts.update(request.path_params)
        if request.url.query:
            call.facts["query_string"] = request.url.query
        if call.rule is not None and call.rule.audit is Audit.BEFORE:
            await asyncio.wrap_future(self._log.write(_entry(call, None)))

    async def conclude(self, call: Call, status: int) -> None:
        """Records what came of a request, if its rule says so; a log that fails does not take back what was done."""
        if call.rule is None or call.rule.scope is KeyScope.OPEN:
            return
        if not call.is_admitted:
            if status in _REFUSALS:
                self._record_refusal(call, status)
            return
        if call.rule.audit is Audit.NO:
            return
        written = self._log.write(_entry(call, status))
        # A request for which there was no room has done nothing: many of them must not wait for the disk one by one.
        if call.rule.audit is Audit.SOON or status == _NO_ROOM:
            return
        try:
            await asyncio.wrap_future(written)
        except AuditStoreError:  # which it has logged
            return

    def _record_refusal(self, call: Call, status: int) -> None:
        is_of_few, _ = self._limiter.hit(call.peer, _REFUSALS_OF_ADDRESS)
        if not is_of_few or not self._limiter.hit("all", _REFUSALS_OF_ALL)[0]:
            self._num_unrecorded += 1
            return
        facts: dict[str, Any] = {"route": call.route}
        if self._num_unrecorded:
            facts["refused_before_and_not_recorded"] = self._num_unrecorded
            self._num_unrecorded = 0
        caller = call.caller
        self._log.write(
            Entry(
                REFUSED,
                "unknown" if caller is None else caller.name,
                None if caller is None else caller.key,
                call.peer,
                call.request_id,
                status,
                facts,
            )
        )


class RecordAnswers:
    """Lets the recorder conclude each request before its answer begins."""

    def __init__(self, app: ASGIApp, recorder: Recorder) -> None:
        self._app = app
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application, inside of `AnswerHeaders`."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call: Call = scope[CALL]
        is_concluded = False

        async def conclude_and_send(message: Message) -> None:
            nonlocal is_concluded
            if message["type"] == "http.response.start" and not is_concluded:
                is_concluded = True
                await self._recorder.conclude(call, message["status"])
            await send(message)

        try:
            await self._app(scope, receive, conclude_and_send)
        finally:
            if not is_concluded:
                await self._recorder.conclude(call, _CLIENT_GONE)


def _entry(call: Call, status: int | None) -> Entry:
    caller = call.caller
    name, key = ("unknown", None) if caller is None else (caller.name, caller.key)
    return Entry(call.route or "", name, key, call.peer, call.request_id, status, dict(call.facts))
