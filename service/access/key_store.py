"""The keys of a data folder on disk: made, revoked and given another secret by a command, read by the service."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import Engine, Row, insert, inspect, or_, select, update
from sqlalchemy.exc import DatabaseError

from service.access.errors import KeyStoreError, NoSuchKeyError
from service.access.key import Key, Secret
from service.access.key_table import KEYS, METADATA
from service.access.scope import KEY_SCOPES, Scope
from service.sqlite_engine import sqlite_engine

DATABASE: Final = "access.sqlite"


class KeyStore:
    """The keys of one data folder. Several processes may have it open."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self._path = path
        self._engine = engine
        self._writing = engine.execution_options(writes=True)

    @classmethod
    @contextmanager
    def opened(cls, data_dir: Path) -> Iterator[Self]:
        """The store while the block runs; it and its folder are made if they are not there.

        Raises:
            KeyStoreError: it cannot be read or written.
        """
        path = data_dir / DATABASE
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise KeyStoreError(f"{data_dir} cannot be made: {error}") from None
        engine = sqlite_engine(path)
        try:
            store = cls(path, engine)
            with _readable(path), store._writing.begin() as connection:
                METADATA.create_all(connection)
            yield store
        finally:
            engine.dispose()

    def create(self, name: str, scope: Scope, *, expires_at: datetime | None, rate: str | None) -> tuple[Key, Secret]:
        """A new key, and the only copy of its secret; durable when this returns.

        Raises:
            KeyStoreError: a key that is not revoked has this name; or the disk refuses.
        """
        secret = Secret.make()
        key = Key(secret.id, name, scope, secret.digest, rate, datetime.now(UTC), expires_at, None)
        with _readable(self._path), self._writing.begin() as connection:
            same = select(KEYS.c.id).where(KEYS.c.name == name, KEYS.c.revoked_at.is_(None))
            if connection.execute(same).first() is not None:
                raise KeyStoreError(f"there is a key with the name {name!r}: choose another name, or revoke that one")
            connection.execute(insert(KEYS).values({**vars(key), "scope": scope.label}))
        return key, secret

    def all(self) -> list[Key]:
        """All keys there ever were, the oldest first.

        Raises:
            KeyStoreError: they cannot be read.
        """
        with _readable(self._path), self._engine.connect() as connection:
            return [_key(row) for row in connection.execute(select(KEYS).order_by(KEYS.c.created_at, KEYS.c.id))]

    def revoke(self, id_or_name: str) -> Key:
        """Ends a key; twice is the same as once, by its id.

        Raises:
            NoSuchKeyError: there is none with this id, and no valid one with this name.
            KeyStoreError: the disk refuses.
        """
        with _readable(self._path), self._writing.begin() as connection:
            key = self._find(connection, id_or_name)
            revoked_at = key.revoked_at or datetime.now(UTC)
            connection.execute(update(KEYS).where(KEYS.c.id == key.id).values(revoked_at=revoked_at))
        return replace(key, revoked_at=revoked_at)

    def rotate(self, id_or_name: str) -> tuple[Key, Secret]:
        """Gives a key another secret; the old one ends at once.

        Raises:
            NoSuchKeyError: there is none with this id or name, or it is revoked or expired.
            KeyStoreError: the disk refuses.
        """
        with _readable(self._path), self._writing.begin() as connection:
            key = self._find(connection, id_or_name)
            if not key.is_valid(datetime.now(UTC)):
                raise NoSuchKeyError(f"the key {key.id} ({key.name}) is revoked or expired: create another one")
            secret = Secret.make(key.id)
            connection.execute(update(KEYS).where(KEYS.c.id == key.id).values(digest=secret.digest))
        return replace(key, digest=secret.digest), secret

    @staticmethod
    def _find(connection: Any, id_or_name: str) -> Key:
        named = (KEYS.c.name == id_or_name) & KEYS.c.revoked_at.is_(None)
        row = connection.execute(select(KEYS).where(or_(KEYS.c.id == id_or_name, named))).first()
        if row is None:
            raise NoSuchKeyError(f"there is no key {id_or_name!r}: the command list shows all")
        return _key(row)


def read_keys(data_dir: Path) -> dict[str, Key]:
    """The keys of a data folder by their ids, also where none was ever made there; nothing is written.

    Raises:
        KeyStoreError: they cannot be read. Nobody is let in then: a damaged file must not open the service.
    """
    path = data_dir / DATABASE
    if not path.exists():
        return {}
    engine = sqlite_engine(path)
    try:
        with _readable(path):
            # Emptied, or made a moment ago: whether there are keys is not known.
            if not inspect(engine).has_table(KEYS.name):
                raise KeyStoreError(f"the keys in {path} cannot be read: it has no table of them; restore it")
        return {key.id: key for key in KeyStore(path, engine).all()}
    finally:
        engine.dispose()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        raise KeyStoreError(f"the keys in {path} cannot be read or written: {error.orig}") from error


def _key(row: Row[Any]) -> Key:
    values = dict(row._mapping)
    return Key(**{**values, "scope": KEY_SCOPES[values["scope"]]})
