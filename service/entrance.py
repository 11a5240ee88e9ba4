"""The way into every route: who may not call it gets no further, and what must be on record is before it happens."""

from collections.abc import AsyncIterator

from fastapi import Request

from service.access.call import call_of
from service.access.guard import Guard
from service.audit.recorder import Recorder


async def enter(request: Request) -> AsyncIterator[None]:
    """The first dependency of every route; nothing of the body is read before it.

    Raises:
        KeyInAddressError, NoKeyError, ScopeError, OtherSiteError, RateLimitedError, TooManyUploadsError, KeyStoreError:
            see `Guard.admitted`.
        AuditStoreError: it cannot be recorded that this is going to be done, so that it is not done.
    """
    guard: Guard = request.app.state.guard
    recorder: Recorder = request.app.state.recorder
    call = call_of(request.scope)
    call.route = request.scope["route"].name
    call.rule = guard.rule_of(call.route)
    async with guard.admitted(request, call.rule):
        call.is_admitted = True
        await recorder.announce(call, request)
        yield
