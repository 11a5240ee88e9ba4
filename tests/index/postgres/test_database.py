import pytest

from index.gallery.errors import GalleryUnavailableError
from index.postgres.database import Database
from tests.postgres_server import PostgresServer


def test_the_settings_of_the_server_do_not_weaken_a_commit(postgres_server: PostgresServer, postgres_url: str) -> None:
    database = Database(
        f"{postgres_url}&options=-c%20synchronous_commit%3Doff%20-c%20default_transaction_isolation%3Dserializable"
    )
    with database.connection() as connection:
        shown = {
            name: connection.exec_driver_sql(f"SHOW {name}").scalar()
            for name in ("synchronous_commit", "transaction_isolation", "lock_timeout", "TimeZone")
        }
    assert shown == {
        "synchronous_commit": "on",
        "transaction_isolation": "read committed",
        "lock_timeout": "1min",
        "TimeZone": "UTC",
    }
    database.close()
    # A stronger one stays.
    database = Database(f"{postgres_url}&options=-c%20synchronous_commit%3Dremote_apply")
    with database.connection() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "remote_apply"
    database.close()


def test_a_snapshot_is_of_one_moment(postgres_server: PostgresServer, postgres_url: str) -> None:
    postgres_server.execute("CREATE TABLE counted (number int)", url=postgres_url)
    database = Database(postgres_url)
    count = "SELECT count(*) FROM counted"
    with database.snapshot() as snapshot, database.reading() as reading:
        assert snapshot.exec_driver_sql(count).scalar() == 0
        postgres_server.execute("INSERT INTO counted VALUES (1)", url=postgres_url)
        assert snapshot.exec_driver_sql(count).scalar() == 0
        assert reading.exec_driver_sql(count).scalar() == 1
    database.close()


def test_a_database_all_of_whose_connections_are_in_use_is_busy(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.postgres.database._POOL_TIMEOUT_S", 0)
    database = Database(postgres_url, pool_size=1)
    with (
        database.connection(),
        pytest.raises(GalleryUnavailableError, match="no connection was free"),
        database.connection(),
    ):
        pass
    with database.connection():
        pass
    database.close()
