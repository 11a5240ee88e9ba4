"""Lets a request in or refuses it, before anything of its body is read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request

from service.access.call import ANONYMOUS, Call, Caller, call_of
from service.access.errors import (
    KeyInAddressError,
    NoKeyError,
    OtherSiteError,
    RateLimitedError,
    ScopeError,
)
from service.access.key import KEY, Key, Secret, is_key
from service.access.key_cache import KeyCache
from service.access.listening import is_loopback
from service.access.rate_limit import RateLimiter
from service.access.route_rules import Rule, rule_of
from service.access.scope import Scope
from service.access.upload_slots import UploadSlots
from service.settings import Settings

_SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")


class Guard:
    """Who may do what, for one service. Used in the one thread of its event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = KeyCache(settings.data_dir, settings.database_address)
        self._limiter = RateLimiter()
        self._uploads = UploadSlots(settings.max_uploads_per_key)
        self._is_public = not is_loopback(settings.published or settings.host)

    def rule_of(self, route: str) -> Rule:
        """The rule of a route under these settings."""
        if route == "metrics" and self._settings.metrics_open:
            return Rule(Scope.OPEN)
        return rule_of(route)

    @asynccontextmanager
    async def admitted(self, request: Request, rule: Rule) -> AsyncIterator[None]:
        """Says who makes a request, and counts it, while the block answers it.

        Raises:
            KeyInAddressError: a key came in its query string.
            NoKeyError, ScopeError: it may not be made, or not by this key.
            OtherSiteError: a page of another site sent it, where no key is asked for.
            RateLimitedError, TooManyUploadsError: it is one too many.
            KeyStoreError: nobody can be let in now.
        """
        if KEY.search(unquote(request.url.query)):
            raise KeyInAddressError
        if rule.scope is Scope.OPEN:
            yield
            return
        call = call_of(request.scope)
        key = await self._key_of(request.headers)
        if key is None:
            call.caller = ANONYMOUS
            self._refuse_other_sites(request)
            self._count(call, call.peer, None)
        else:
            call.caller = Caller(key.id, key.name, key.scope)
            self._count(call, key.id, key)
            if key.scope < rule.scope:
                raise ScopeError(rule.scope, key.scope)
        with nullcontext() if key is None or not rule.is_upload else self._uploads.taken(key.id):
            yield

    async def _key_of(self, headers: Headers) -> Key | None:
        """The key that came; None where none is asked for.

        Raises:
            NoKeyError: no valid one came.
            KeyStoreError: the keys cannot be read.
        """
        setting = self._settings.auth
        if setting == "off":
            return None
        keys = await self._keys.keys()
        # Revoked and expired keys count as well: the end of the last one must not open the service.
        if setting == "auto" and not keys and not self._is_public:
            return None
        texts = _keys_in(headers)
        if not texts:
            raise NoKeyError(is_missing=True)
        secret = Secret.read(texts[0]) if len(set(texts)) == 1 else None
        key = None if secret is None else keys.get(secret.id)
        if secret is None or not is_key(key, secret, datetime.now(UTC)):
            raise NoKeyError(is_missing=False)
        return key

    def _refuse_other_sites(self, request: Request) -> None:
        """Browsers send forms from any page to any address; where no key is asked for, one would be obeyed."""
        if request.method in _SAFE_METHODS or request.headers.get("origin") in self._settings.cors_origins:
            return
        if _is_of_another_origin(request.headers):
            raise OtherSiteError

    def _count(self, call: Call, who: str, key: Key | None) -> None:
        rate = self._settings.rate_limit if key is None or key.rate is None else key.rate
        if rate is None:
            return
        is_within, quota = self._limiter.hit(who, rate)
        call.headers.update(quota.headers)
        if not is_within:
            raise RateLimitedError(quota)


def _is_of_another_origin(headers: Headers) -> bool:
    """Whether a browser says that a page of another origin sent this: also of another port of the same machine."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("cross-site", "same-site")
    # Browsers leave it out where the address is neither https nor this machine's own. "null" has no host: another's.
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


def _keys_in(headers: Headers) -> list[str]:
    """What stands where keys stand; something else than a key, such as another scheme, is one that is not valid."""
    texts = headers.getlist("x-api-key")
    for value in headers.getlist("authorization"):
        scheme, _, credentials = value.partition(" ")
        texts.append(credentials.strip(" ") if scheme.lower() == "bearer" else "")
    return texts
