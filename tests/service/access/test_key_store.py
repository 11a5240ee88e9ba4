import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.access.errors import KeyStoreError, NoSuchKeyError
from service.access.key_store import DATABASE, KeyStore, read_keys
from service.access.scope import Scope


def test_keys_are_what_was_made(tmp_path: Path, database: str | None) -> None:
    until = datetime.now(UTC) + timedelta(days=1)
    with KeyStore.opened(tmp_path / "new", database) as store:
        one, secret = store.create("one", Scope.ENROL, expires_at=until, rate="5/second")
        two, _ = store.create("two", Scope.ADMIN, expires_at=None, rate=None)
        assert store.all() == [one, two]
    assert read_keys(tmp_path / "new", database) == {one.id: one, two.id: two}
    assert (one.scope, one.expires_at, one.rate, one.digest) == (Scope.ENROL, until, "5/second", secret.digest)
    if database is not None:
        assert not (tmp_path / "new").exists()
        return
    content = b"".join(path.read_bytes() for path in (tmp_path / "new").iterdir())
    assert one.digest in content
    assert secret.secret.encode() not in content


def test_where_none_was_made_nothing_is_written(tmp_path: Path) -> None:
    assert read_keys(tmp_path / "none") == {}
    assert not (tmp_path / "none").exists()


def test_where_none_was_made_in_a_database_there_are_none(tmp_path: Path, postgres_url: str) -> None:
    assert read_keys(tmp_path, postgres_url) == {}


def test_a_database_that_is_away_lets_nobody_in_and_its_password_is_not_said(tmp_path: Path) -> None:
    away = "postgresql://user:s3cret@/keys?host=/nowhere"
    with pytest.raises(KeyStoreError, match="the keys in the database keys at /nowhere cannot be read") as raised:
        read_keys(tmp_path, away)
    assert "s3cret" not in str(raised.value)
    with pytest.raises(KeyStoreError), KeyStore.opened(tmp_path, away):
        pass


def test_a_name_is_of_one_valid_key(tmp_path: Path, database: str | None) -> None:
    with KeyStore.opened(tmp_path, database) as store:
        first, _ = store.create("n", Scope.READ, expires_at=None, rate=None)
        with pytest.raises(KeyStoreError, match="there is a key with the name 'n'"):
            store.create("n", Scope.READ, expires_at=None, rate=None)
        store.revoke("n")
        second, _ = store.create("n", Scope.READ, expires_at=None, rate=None)
        assert store.revoke("n").id == second.id
        revoked_at = read_keys(tmp_path, database)[first.id].revoked_at
        assert store.revoke(first.id).revoked_at == revoked_at  # twice is the same as once
        with pytest.raises(NoSuchKeyError):
            store.revoke("n")


def test_another_secret_is_of_the_same_key(tmp_path: Path, database: str | None) -> None:
    with KeyStore.opened(tmp_path, database) as store:
        key, old = store.create("n", Scope.READ, expires_at=None, rate=None)
        again, new = store.rotate("n")
        assert (again.id, again.created_at, new.id) == (key.id, key.created_at, old.id)
        assert read_keys(tmp_path, database)[key.id].digest == new.digest != old.digest
        store.revoke(key.id)
        with pytest.raises(NoSuchKeyError, match="is revoked or expired"):
            store.rotate(key.id)
        store.create("past", Scope.READ, expires_at=datetime.now(UTC), rate=None)
        with pytest.raises(NoSuchKeyError, match="is revoked or expired"):
            store.rotate("past")


def test_many_at_once_lose_nothing(tmp_path: Path, database: str | None) -> None:
    def make(number: int) -> None:
        with KeyStore.opened(tmp_path, database) as store:
            store.create(str(number), Scope.READ, expires_at=None, rate=None)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(key.name for key in read_keys(tmp_path, database).values()) == list("01234567")


def test_what_is_no_database_is_an_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"x" * 5000)
    with pytest.raises(KeyStoreError, match="cannot be read or written"):
        read_keys(tmp_path)
    with pytest.raises(KeyStoreError), KeyStore.opened(tmp_path):
        pass
    assert (tmp_path / DATABASE).read_bytes() == b"x" * 5000


def test_every_commit_is_synced(tmp_path: Path) -> None:
    with KeyStore.opened(tmp_path) as store, store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    with sqlite3.connect(tmp_path / DATABASE) as plain:
        assert plain.execute("SELECT count(*) FROM keys").fetchone() == (0,)
    plain.close()


def test_a_file_without_its_table_is_not_one_without_keys(tmp_path: Path) -> None:
    (tmp_path / DATABASE).touch()
    with pytest.raises(KeyStoreError, match="no table"):
        read_keys(tmp_path)
    with KeyStore.opened(tmp_path):
        assert read_keys(tmp_path) == {}
