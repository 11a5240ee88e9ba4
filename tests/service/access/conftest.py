"""A service that asks for keys, and keys of every kind."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from fastapi.testclient import TestClient

from service.access.key import Key, Secret
from service.access.key_store import KeyStore
from service.access.scope import Scope
from service.settings import Settings
from tests.service.conftest import serve


class Keys(NamedTuple):
    """One key of each kind, as their owners have them."""

    read: str
    enrol: str
    admin: str
    revoked: str
    expired: str
    rotated: str


def make_key(data_dir: Path, name: str, scope: Scope = Scope.ADMIN, rate: str | None = None) -> tuple[Key, str]:
    with KeyStore.opened(data_dir) as store:
        key, secret = store.create(name, scope, expires_at=None, rate=rate)
    return key, str(secret)


def make_keys(data_dir: Path) -> Keys:
    with KeyStore.opened(data_dir) as store:
        made: dict[str, Secret] = {}
        for scope in (Scope.READ, Scope.ENROL, Scope.ADMIN):
            _, made[scope.label] = store.create(scope.label, scope, expires_at=None, rate=None)
        for name in ("revoked", "rotated"):
            _, made[name] = store.create(name, Scope.ADMIN, expires_at=None, rate=None)
        past = datetime.now(UTC) - timedelta(seconds=1)
        _, made["expired"] = store.create("expired", Scope.ADMIN, expires_at=past, rate=None)
        store.revoke("revoked")
        store.rotate("rotated")
    return Keys(**{name: str(secret) for name, secret in made.items()})


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guarded") / "data"


@pytest.fixture(scope="module")
def keys(data_dir: Path) -> Keys:
    return make_keys(data_dir)


@pytest.fixture(scope="module")
def guarded(small_checkpoint: Path, data_dir: Path, keys: Keys) -> Iterator[TestClient]:
    """A client without a key of a service that has some; its rates are none."""
    with serve(Settings(checkpoint=small_checkpoint, data_dir=data_dir, device="cpu")) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
