import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from index.gallery.errors import GalleryUnavailableError, ReplacedError
from index.postgres.database import Database
from index.postgres.write_lock import PostgresWriteLock
from tests.postgres_server import PostgresServer


@pytest.fixture
def locks(postgres_url: str) -> Iterator[list[PostgresWriteLock]]:
    """Of two processes."""
    with ExitStack() as opened:
        databases = [opened.enter_context(closing(Database(postgres_url))) for _ in range(2)]
        yield [PostgresWriteLock(database) for database in databases]


def waits(server: PostgresServer) -> bool:
    return bool(server.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))


def test_one_process_at_a_time(locks: list[PostgresWriteLock], postgres_server: PostgresServer) -> None:
    order = list[str]()

    def write() -> None:
        with locks[1]:
            order.append("second")

    with locks[0]:
        thread = threading.Thread(target=write)
        thread.start()
        while not waits(postgres_server):
            assert thread.is_alive()
        order.append("first")
    thread.join(60)
    assert order == ["first", "second"]
    with locks[0]:
        pass


def test_who_waits_in_vain_is_told(
    locks: list[PostgresWriteLock], postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.postgres.database._SETTINGS", "SET lock_timeout = '10ms'")
    with closing(Database(postgres_url)) as database, locks[0]:
        impatient = PostgresWriteLock(database)
        for _ in range(2):
            with pytest.raises(GalleryUnavailableError, match="lock timeout"):
                impatient.acquire()
    with locks[1]:
        pass


def test_once_it_is_replaced_it_is_refused_but_for_what_is_no_write(locks: list[PostgresWriteLock]) -> None:
    with locks[0]:
        locks[0].set_replaced()
    with pytest.raises(ReplacedError):
        locks[0].acquire()
    with locks[0].even_if_replaced():
        pass
    with locks[1]:  # another process is told by its own
        pass


def test_a_block_that_raises_gives_it_back(locks: list[PostgresWriteLock]) -> None:
    with pytest.raises(ZeroDivisionError), locks[0]:
        raise ZeroDivisionError
    with locks[1]:
        pass


def test_a_lock_that_was_lost_is_given_back_without_an_error(
    locks: list[PostgresWriteLock], postgres_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    with locks[0]:
        postgres_server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sanet'"
        )
        with locks[1]:
            pass
    assert "lost" in caplog.text
    with locks[0]:
        pass
