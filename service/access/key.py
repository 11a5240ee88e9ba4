"""A key: how it is written, what is stored of it, and how one that came is compared with what is stored."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, Self

from service.access.scope import Scope

KEY: Final = re.compile(r"sanet_([0-9a-f]{12})_([0-9a-f]{64})")

# In addresses an underscore may be percent-encoded.
_HIDDEN: Final = re.compile(r"sanet(?:_|%5F)([0-9a-f]{12})(?:_|%5F)[0-9a-z]+", re.IGNORECASE)

# Compared with where there is no such key, so that this takes as long as where there is one.
_NO_DIGEST: Final = bytes(32)


class Secret(NamedTuple):
    """A key as its owner has it: ``sanet_<id>_<secret>``.

    Attributes:
        id: 12 hexadecimal digits, which find the key; no secret.
        secret: 64 hexadecimal digits, 256 random bits.
    """

    id: str
    secret: str

    @classmethod
    def make(cls, id_: str | None = None) -> Self:
        """A new one; with an id, another secret for the same key."""
        return cls(secrets.token_hex(6) if id_ is None else id_, secrets.token_hex(32))

    @classmethod
    def read(cls, text: str) -> Self | None:
        """From its text; None if it is none."""
        found = KEY.fullmatch(text)
        return None if found is None else cls(*found.groups())

    @property
    def digest(self) -> bytes:
        """What is stored of it: the SHA-256 of the secret.

        No slow hash, as for passwords: those protect words that people choose, of which one can try all. Nobody can try
        2^256 secrets, however fast each try is, and every request would pay for it.
        """
        return hashlib.sha256(self.secret.encode()).digest()

    def __str__(self) -> str:
        return f"sanet_{self.id}_{self.secret}"


@dataclass(frozen=True)
class Key:
    """A key as it is stored. All times are UTC.

    Attributes:
        digest: see `Secret.digest`.
        rate: how many requests it may make, such as ``600/minute``; None: as the service has it for all.
        expires_at, revoked_at: when it ends, or was ended; None: never.
    """

    id: str
    name: str
    scope: Scope
    digest: bytes
    rate: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def is_valid(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def is_key(key: Key | None, secret: Secret, now: datetime) -> bool:
    """Whether what came is this key, and it is valid; in the same time whatever is wrong with it."""
    same = hmac.compare_digest(_NO_DIGEST if key is None else key.digest, secret.digest)
    return key is not None and same and key.is_valid(now)


def hide_secrets(text: str) -> str:
    """A text for logs: of each key in it, only the id stays."""
    return _HIDDEN.sub(r"sanet_\1_***", text)
