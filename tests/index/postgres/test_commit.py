"""A connection that is lost in the middle of a COMMIT: the database knows what became of it, and is asked."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from index.gallery.errors import GalleryUnavailableError
from index.postgres.database import Database
from index.postgres.record_store import PostgresRecordStore
from tests.index.records import MODEL, record
from tests.postgres_server import PostgresServer


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture
def store(server: PostgresServer) -> Iterator[PostgresRecordStore]:
    with closing(PostgresRecordStore(Database(server.create_database()))) as store:
        yield store


def write(store: PostgresRecordStore, seed: int) -> None:
    with store.transaction() as writer:
        writer.insert(record(seed))


def make_commits_wait(server: PostgresServer, store: PostgresRecordStore) -> str:
    """Commits of records wait for a check that is put off until their end. The address of the database."""
    url = store._database.engine.url.set(drivername="postgresql").render_as_string()
    for statement in (
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql "
        "AS $$ BEGIN PERFORM pg_sleep(600); RETURN NULL; END $$",
        "CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON record DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION wait()",
    ):
        server.execute(statement, url=url)
    return url


def end_one_that_waits(server: PostgresServer, event: str) -> bool:
    """Ends the session that waits for this in its commit; False if none does yet."""
    where = f"application_name = 'sanet' AND wait_event = '{event}'"
    return bool(server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {where}"))


def test_what_was_committed_before_the_connection_was_lost_is_said_to_be_stored(
    server: PostgresServer, store: PostgresRecordStore
) -> None:
    """The commit is on the disk of the server, and waits for a standby that never comes."""
    write(store, 1)
    server.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    server.execute("SELECT pg_reload_conf()")
    try:
        with ThreadPoolExecutor(1) as pool:
            last = 2
            writing = pool.submit(write, store, last)
            while not end_one_that_waits(server, "SyncRep"):
                if writing.done():  # the server has not yet taken over the setting
                    writing.result()
                    last += 1
                    writing = pool.submit(write, store, last)
            with pytest.raises(GalleryUnavailableError, match="lost while it committed; everything was stored"):
                writing.result()
        assert [seq for seq, _ in store.records_after(0, MODEL)] == list(range(1, last + 1))
    finally:
        server.execute("ALTER SYSTEM RESET synchronous_standby_names")
        server.execute("SELECT pg_reload_conf()")
    write(store, last + 1)
    assert store.last_seq == last + 1


def test_what_was_not_committed_is_said_to_be_not_stored(server: PostgresServer, store: PostgresRecordStore) -> None:
    write(store, 1)
    url = make_commits_wait(server, store)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write, store, 2)
        while not end_one_that_waits(server, "PgSleep"):
            assert not writing.done()
        with pytest.raises(GalleryUnavailableError, match="lost while it committed; nothing was stored"):
            writing.result()
    server.execute("DROP TRIGGER waits ON record", url=url)
    assert store.last_seq == 1
    write(store, 3)
    assert [one.id for _, one in store.records_after(0, MODEL)] == [record(1).id, record(3).id]


def test_where_the_database_cannot_be_asked_nobody_knows(store: PostgresRecordStore, server: PostgresServer) -> None:
    make_commits_wait(server, store)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write, store, 2)
        where = "application_name = 'sanet' AND wait_event = 'PgSleep'"
        while not server.execute(f"SELECT 1 FROM pg_stat_activity WHERE {where}"):
            assert not writing.done()
        server.crash()
        with pytest.raises(GalleryUnavailableError, match="whether everything or nothing was stored is not known"):
            writing.result()
    server.start()
    assert store.count() == 0
