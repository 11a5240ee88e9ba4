"""The address of a PostgreSQL database: it may hold passwords, which no message repeats."""

from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

_EXPECTED: Final = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


def database_url(text: str) -> URL:
    """The address of a PostgreSQL database, with the driver that this program uses.

    Raises:
        ValueError: it is none. The message does not repeat it: it may hold a password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError(f"an address such as {_EXPECTED} was expected") from None
    if url.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise ValueError(f"an address such as {_EXPECTED} was expected, not one of {url.drivername}")
    return url.set(drivername="postgresql+psycopg")


def secrets_of(url: URL) -> list[str]:
    """The passwords in an address, also those among its parameters, such as sslpassword."""
    secrets = [] if url.password is None else [url.password]
    for name, value in url.query.items():
        if "password" in name:
            secrets += [value] if isinstance(value, str) else value
    return [secret for secret in secrets if secret]
