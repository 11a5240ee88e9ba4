"""The keys of a data folder on disk: made, revoked and given another secret by a command, read by the service."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import Row, insert, inspect, or_, select, update
from sqlalchemy.exc import DatabaseError

from service.access.errors import KeyStoreError, NoSuchKeyError
from service.access.key import Key, Secret
from service.access.key_table import KEYS, METADATA
from service.access.scope import KEY_SCOPES, Scope
from service.tables import Tables

DATABASE: Final = "access.sqlite"


class KeyStore:
    """The keys of one data folder, or of all services that share a database. Several processes may have it open."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._engine = tables.engine
        self._writing = tables.writing

    @classmethod
    @contextmanager
    def opened(cls, data_dir: Path, database: str | None = None) -> Iterator[Self]:
        """The store while the block runs; it and its folder are made if they are not there.

        Args:
            data_dir: has the keys,
            database: unless this one has them.

        Raises:
            KeyStoreError: it cannot be read or written.
        """
        if database is None:
            try:
                data_dir.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise KeyStoreError(f"{data_dir} cannot be made: {error}") from None
        tables = Tables.open(data_dir / DATABASE, database)
        try:
            with _readable(tables):
                tables.create(METADATA)
            yield cls(tables)
        finally:
            tables.close()

    @property
    def place(self) -> str:
        """Where the keys are, in words."""
        return self._tables.place

    def create(self, name: str, scope: Scope, *, expires_at: datetime | None, rate: str | None) -> tuple[Key, Secret]:
        """A new key, and the only copy of its secret; durable when this returns.

        Raises:
            KeyStoreError: a key that is not revoked has this name; or the disk refuses.
        """
        secret = Secret.make()
        key = Key(secret.id, name, scope, secret.digest, rate, datetime.now(UTC), expires_at, None)
        with _readable(self._tables), self._writing.begin() as connection:
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
        with _readable(self._tables), self._engine.connect() as connection:
            return [_key(row) for row in connection.execute(select(KEYS).order_by(KEYS.c.created_at, KEYS.c.id))]

    def revoke(self, id_or_name: str) -> Key:
        """Ends a key; twice is the same as once, by its id.

        Raises:
            NoSuchKeyError: there is none with this id, and no valid one with this name.
            KeyStoreError: the disk refuses.
        """
        with _readable(self._tables), self._writing.begin() as connection:
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
        with _readable(self._tables), self._writing.begin() as connection:
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


def read_keys(data_dir: Path, database: str | None = None) -> dict[str, Key]:
    """The keys of a data folder or a database by their ids, also where none was ever made; nothing is written.

    Raises:
        KeyStoreError: they cannot be read. Nobody is let in then: a damaged file must not open the service.
    """
    path = data_dir / DATABASE
    if database is None and not path.exists():
        return {}
    tables = Tables.open(path, database)
    try:
        with _readable(tables):
            if not inspect(tables.engine).has_table(KEYS.name):
                if tables.is_shared:
                    return {}
                # Emptied, or made a moment ago: whether there are keys is not known.
                raise KeyStoreError(f"the keys in {path} cannot be read: it has no table of them; restore it")
        return {key.id: key for key in KeyStore(tables).all()}
    finally:
        tables.close()


@contextmanager
def _readable(tables: Tables) -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        reason = tables.message(error.orig)
        raise KeyStoreError(f"the keys in {tables.place} cannot be read or written: {reason}") from error


def _key(row: Row[Any]) -> Key:
    values = dict(row._mapping)
    return Key(**{**values, "scope": KEY_SCOPES[values["scope"]]})
