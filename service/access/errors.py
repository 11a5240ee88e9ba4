"""Why somebody is not let in."""

from service.access.rate_limit import Quota
from service.access.scope import Scope


class KeyStoreError(Exception):
    """The keys cannot be read or written, or not as was asked."""

    retry_after_s = 10


class NoSuchKeyError(KeyStoreError):
    """No key has this id or name, or none that is valid."""


class NoKeyError(Exception):
    """A key is needed, and no valid one came. It does not say what is wrong with one: that helps who tries keys."""

    def __init__(self, *, is_missing: bool) -> None:
        super().__init__(
            "a key is needed: send it as Authorization: Bearer sanet_.. or as X-API-Key: sanet_.."
            if is_missing
            else "what came is no valid key: one key was expected, whole and neither revoked nor expired"
        )
        invalid = "" if is_missing else ', error="invalid_token"'
        self.headers = {"WWW-Authenticate": f'Bearer realm="sanet"{invalid}'}


class ScopeError(Exception):
    """The key is valid, and may not do this."""

    def __init__(self, needed: Scope, has: Scope) -> None:
        super().__init__(f"this needs a key with the scope {needed.label}, and the key that came has {has.label}")
        self.headers = {"WWW-Authenticate": f'Bearer realm="sanet", error="insufficient_scope", scope="{needed.label}"'}


class KeyInAddressError(Exception):
    """A key came in the query string, where every proxy and every log on the way keeps it."""

    def __init__(self) -> None:
        super().__init__(
            "a key in the address of a request is kept by logs and proxies on the way: rotate it "
            "(python -m service.keys rotate), and send it as Authorization: Bearer sanet_.."
        )


class OtherSiteError(Exception):
    """A page of another site makes a browser change something here, where no key is asked for."""

    def __init__(self) -> None:
        super().__init__(
            "a page of another site sent this: name its origin in SANET_CORS_ORIGINS if it may use this service"
        )


class RateLimitedError(Exception):
    """Too many requests by one key or from one address."""

    def __init__(self, quota: Quota) -> None:
        super().__init__(f"{quota.rate} requests may come, and more came: send it again in {quota.reset_s} s")
        self.retry_after_s = quota.reset_s
        self.headers = quota.headers


class TooManyUploadsError(Exception):
    """One key has as many uploads under way as it may have."""

    retry_after_s = 1

    def __init__(self, most: int) -> None:
        super().__init__(f"{most} uploads of one key may be under way: send it again when one of them has ended")
