"""What is known of one request beside what it asks: its id, where it comes from, whose it is, what came of it."""

import re
import secrets
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from starlette.types import Scope as AsgiScope

from service.access.key import KEY
from service.access.route_rules import Rule
from service.access.scope import Scope

CALL: Final = "sanet.call"
"""Where a request's ASGI scope has its `Call`."""

_CLIENTS_ID: Final = re.compile("[!-~]{1,64}")

_REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)


class Caller(NamedTuple):
    """Who makes a request.

    Attributes:
        key: the id of the key; None where none is asked for.
        name: that of the key, or ``anonymous``.
    """

    key: str | None
    name: str
    scope: Scope


ANONYMOUS: Final = Caller(None, "anonymous", Scope.ADMIN)
"""Everybody, where no key is asked for."""


@dataclass
class Call:
    """One request.

    Attributes:
        peer: the address that it comes from; behind a trusted proxy, the one that the proxy names.
        route: the name of the route that it asks for; None if there is none, or none was found yet.
        rule: the route's.
        caller: None until it is known, and of those who have no valid key.
        is_admitted: whether it may be made.
        facts: what the route says of it, for the audit log.
        headers: what its answer has beside what the route says.
    """

    request_id: str
    peer: str
    route: str | None = None
    rule: Rule | None = None
    caller: Caller | None = None
    is_admitted: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


def call_of(scope: AsgiScope) -> Call:
    """The call of a request's ASGI scope."""
    call: Call = scope[CALL]
    return call


def note(scope: AsgiScope, **facts: Any) -> None:
    """Says something of this request to the audit log; nothing of an image."""
    call_of(scope).facts.update(facts)


def choose_request_id(asked: str | None) -> str:
    """The client's own id if it is up to 64 visible ASCII characters without spaces, and no key; else a new one."""
    if asked is not None and _CLIENTS_ID.fullmatch(asked) and not KEY.search(asked):
        return asked
    return secrets.token_hex(8)


def current_request_id() -> str | None:
    """The id of the request that this code answers; None outside of requests."""
    return _REQUEST_ID.get()


set_request_id = _REQUEST_ID.set
"""Says which request is answered from here on, in this task."""
