"""What PostgreSQL adds to the contract of record stores: several processes, and a server that goes away."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from index.gallery.errors import DamagedRecordError, GalleryError, GalleryFullError, GalleryUnavailableError
from index.gallery.filters import Filter, Near
from index.gallery.record import Record
from index.gallery.write_lock import WriteLock
from index.postgres import schema
from index.postgres.database import Database
from index.postgres.record_store import PostgresRecordStore
from tests.index.records import MODEL, OTHER_MODELS, record, values
from tests.postgres_server import PostgresServer


@pytest.fixture
def store(postgres_url: str) -> Iterator[PostgresRecordStore]:
    with closing(PostgresRecordStore(Database(postgres_url))) as store:
        yield store


@pytest.fixture
def replica(postgres_url: str, store: PostgresRecordStore) -> Iterator[PostgresRecordStore]:
    """Another one on the same database, with a lock of its own, as another process has it."""
    with closing(PostgresRecordStore(Database(postgres_url))) as store:
        yield store


def insert(store: PostgresRecordStore, *records: Record) -> None:
    with store.transaction() as writer:
        for one in records:
            writer.insert(one)


FULL: dict[str, Any] = {
    "identity": "a", "camera": "north", "captured_at": record(9).enrolled_at, "latitude": 50.0, "longitude": 8.0,
    "tags": ("van",), "source": "a.jpg", "attributes": {"colour": "red"},
}  # fmt: skip

# Per column, ways in which a disk or a wrong hand could change it.
DAMAGE = [
    ("id", "repeat('0', 32)"),
    ("content", "repeat('0', 64)"),
    ("media_type", "'image/jpeg'"),
    ("box", "'0,0,60,41'"),
    ("box", "''"),
    ("whole_image", "false"),
    ("identity", "'other'"),
    ("identity", "NULL"),
    ("camera", "'North'"),
    ("captured_at", "captured_at + 1"),
    ("captured_at", "9223372036854775807"),
    ("captured_at", "NULL"),
    ("latitude", "latitude + 1e-9"),
    ("latitude", "NULL"),
    ("latitude", "'NaN'"),
    ("longitude", "-longitude"),
    ("longitude", "'Infinity'"),
    ("longitude", "NULL"),
    ("tags", """'["red"]'"""),
    ("tags", "'7'"),
    ("tags", "'[[]]'"),
    ("tags", "'null'"),
    ("source", "'other'"),
    ("source", "NULL"),
    ("attributes", "'{}'"),
    ("attributes", """'{"colour": "reD"}'"""),
    ("attributes", """'{"colour": ["red"]}'"""),
    ("attributes", """'["colour"]'"""),
    ("attributes", "'7'"),
    ("fingerprint", "replace(fingerprint, 'a', 'b')"),
    ("precision", "'bf16'"),
    ("enrolled_at", "enrolled_at - 1"),
    ("enrolled_at", "-9223372036854775808"),
    ("checksum", "decode(repeat('00', 32), 'hex')"),
    ("checksum", "''"),
    ("embedding", "set_byte(embedding, 63, get_byte(embedding, 63) # 1)"),
    ("embedding", "substr(embedding, 1, 63)"),
    ("embedding", "substr(embedding, 1, 60)"),
    ("embedding", "''"),
    ("theta", "set_byte(theta, 0, get_byte(theta, 0) # 1)"),
    ("theta", "substr(theta, 5)"),
]


def test_damage_to_any_column_is_found_and_breaks_nothing_else(
    store: PostgresRecordStore, postgres_server: PostgresServer, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    intact = len(DAMAGE) + 1
    insert(store, *(record(seed, **FULL) for seed in range(1, intact + 1)))
    for seq, (column, value) in enumerate(DAMAGE, 1):
        postgres_server.execute(f"UPDATE record SET {column} = {value} WHERE seq = {seq}", url=postgres_url)
    for where in (Filter(near=Near(50.0, 8.0, 1.0)), Filter(tags=("van",)), Filter(attributes=(("colour", "red"),))):
        assert intact in store.contents_passing(where)
    rows = {row.seq for row in store.rows_after(0, MODEL)}
    assert intact in rows
    unreadable = {("captured_at", "9223372036854775807"), ("tags", "'7'"), ("latitude", "NULL"), ("attributes", "'7'")}
    assert rows.isdisjoint(seq for seq, damage in enumerate(DAMAGE, 1) if damage in unreadable)
    assert list(store.records_at(range(intact + 1))) == [intact]
    assert store.damaged == set(range(1, intact))
    assert len(caplog.messages) == len(DAMAGE)
    assert all("is damaged" in message for message in caplog.messages)
    with pytest.raises(DamagedRecordError, match="is damaged: its checksum differs; enrol it again, or delete it"):
        store.get(record(3).id)
    columns = postgres_server.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'record'", url=postgres_url
    )
    assert {column for column, _ in DAMAGE} == {column for (column,) in columns} - {"seq"}


def test_the_id_of_a_damaged_record_names_its_image(
    store: PostgresRecordStore, postgres_server: PostgresServer, postgres_url: str
) -> None:
    insert(store, record(1), record(2))
    postgres_server.execute("UPDATE record SET content = %s WHERE seq = 1", "0" * 64, url=postgres_url)
    assert store.records_at([1]) == {}
    assert store.doubtful_contents() == {"0" * 64}
    assert store.named([record(1).content, record(3).content]) == {record(1).content}


def test_embeddings_lie_outside_of_the_rows_and_are_not_compressed(
    store: PostgresRecordStore, postgres_server: PostgresServer, postgres_url: str
) -> None:
    found = postgres_server.execute(
        "SELECT relname, attstorage FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid "
        "WHERE attname = 'embedding' AND relkind = 'r' ORDER BY 1",
        url=postgres_url,
    )
    assert found == [("deleted_record", "e"), ("record", "e")]


def test_a_replica_sees_what_was_committed_and_knows_its_own_damage(
    store: PostgresRecordStore, replica: PostgresRecordStore, postgres_server: PostgresServer, postgres_url: str
) -> None:
    insert(store, record(1, camera="a"))
    assert replica.tallies(9).cameras == [("a", 1)]
    insert(store, record(2, camera="a"))
    assert replica.tallies(9).cameras == [("a", 2)]
    insert(replica, record(3, camera="b"))
    assert (store.last_seq, store.tallies(9).cameras) == (3, [("a", 2), ("b", 1)])
    postgres_server.execute("UPDATE record SET camera = 'x' WHERE seq = 1", url=postgres_url)
    assert replica.records_at([1]) == {}
    assert (replica.num_damaged, store.num_damaged) == (1, 0)
    with store.transaction() as writer:
        writer.delete([1])
    assert (replica.num_damaged, replica.damaged) == (0, set())


def test_the_same_id_from_two_replicas_is_stored_once(store: PostgresRecordStore, replica: PostgresRecordStore) -> None:
    """As the policy does it: whoever holds the lock sees what the one before has written."""
    results = []
    for one in (store, replica):
        lock: WriteLock = one.write_lock
        with lock:
            if not one.records_of([record(1).id]):
                insert(one, record(1))
                results.append("enrolled")
            else:
                results.append("duplicate")
    assert results == ["enrolled", "duplicate"]
    assert store.count() == 1


WRITER = """
import sys
from index.postgres.database import Database
from index.postgres.record_store import PostgresRecordStore
from tests.index.records import record

store = PostgresRecordStore(Database(sys.argv[1]))
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    with store.write_lock:
        ids = [record(seed).id for seed in (number, number + 1000)]
        there = {one.id for one in store.records_of(ids)}
        with store.transaction() as writer:
            for seed in (number, number + 1000):
                if record(seed).id not in there:
                    writer.insert(record(seed))
    print(number, flush=True)
"""


def test_processes_that_write_at_once_lose_nothing_and_a_reader_overlooks_nothing(
    store: PostgresRecordStore, postgres_url: str
) -> None:
    ranges = [(0, 30), (20, 50), (0, 50)]  # many ids come from two or three of them
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, postgres_url, str(first), str(last)], stdout=subprocess.DEVNULL)
        for first, last in ranges
    ]
    seen: list[int] = []
    while True:
        is_over = all(writer.poll() is not None for writer in writers)
        # As an index that catches up from the last seq that it has.
        seen += [seq for seq, _ in store.records_after(max(seen, default=0), MODEL)]
        if is_over:
            break
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert seen == list(range(1, 101))
    assert store.last_seq == store.count() == 100
    ids = {row.id for row in store.rows_after(0, MODEL)}
    assert ids == {record(seed).id for seed in [*range(50), *range(1000, 1050)]}


def test_a_killed_writer_leaves_nothing_of_its_transaction_and_the_lock(
    store: PostgresRecordStore, postgres_url: str
) -> None:
    script = """
import sys
from index.postgres.database import Database
from index.postgres.record_store import PostgresRecordStore
from tests.index.records import record

store = PostgresRecordStore(Database(sys.argv[1]))
with store.write_lock, store.transaction() as writer:
    writer.insert(record(1))
    print("written", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, postgres_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        assert store.count() == 0
        writer.kill()
    insert(store, record(2))
    assert {row.seq: row.id for row in store.rows_after(0, MODEL)} == {1: record(2).id}


def test_a_lost_connection_is_an_error_of_the_call_and_no_more(
    store: PostgresRecordStore, postgres_server: PostgresServer, postgres_url: str
) -> None:
    insert(store, record(1))
    with pytest.raises(GalleryUnavailableError, match="try again"), store.transaction() as writer:  # noqa: PT012
        writer.insert(record(2))
        _end_all(postgres_server)
        writer.insert(record(3))
    assert store.last_seq == 1
    insert(store, record(4))
    assert sorted(store.contents_passing(Filter())) == [1, 2]
    _end_all(postgres_server)
    assert store.count() == 2  # a connection that was lost while nobody used it is replaced


def _end_all(server: PostgresServer) -> None:
    server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sanet'")


def test_who_lost_the_lock_writes_nothing_that_was_decided_under_it(
    store: PostgresRecordStore, replica: PostgresRecordStore, postgres_server: PostgresServer
) -> None:
    def decide_and_write() -> None:
        with store.write_lock:
            assert store.records_of([record(1).id]) == []
            _end_all(postgres_server)
            insert(replica, record(1))  # has the lock now
            insert(store, record(2))

    with pytest.raises(GalleryUnavailableError):
        decide_and_write()
    assert {row.id for row in store.rows_after(0, MODEL)} == {record(1).id}
    insert(store, record(2))
    assert store.last_seq == 2


def test_after_an_error_the_lost_lock_is_not_taken_anew_in_silence(
    store: PostgresRecordStore, postgres_server: PostgresServer
) -> None:
    with store.write_lock:
        _end_all(postgres_server)
        for _ in range(2):
            with pytest.raises(GalleryUnavailableError):
                insert(store, record(1))
    assert store.count() == 0


@pytest.mark.parametrize(
    ("code", "error", "match"),
    [
        ("53100", GalleryFullError, "full"),
        ("53300", GalleryUnavailableError, "could not reach the database test_"),
        ("57P03", GalleryUnavailableError, "try again"),
        ("25006", GalleryUnavailableError, "try again"),
        ("40P01", GalleryUnavailableError, "try again"),
        ("XX001", GalleryError, "is damaged .*restore a backup"),
        ("42501", GalleryError, "cannot be read or written"),
    ],
)
def test_what_the_database_refuses_is_said_in_words(
    store: PostgresRecordStore,
    postgres_server: PostgresServer,
    postgres_url: str,
    code: str,
    error: type[GalleryError],
    match: str,
) -> None:
    for statement in (
        f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{code}'; END $$",
        "CREATE TRIGGER refuses BEFORE INSERT ON record FOR EACH ROW EXECUTE FUNCTION refuse()",
    ):
        postgres_server.execute(statement, url=postgres_url)
    with pytest.raises(error, match=match) as raised:
        insert(store, record(1))
    assert type(raised.value) is error
    assert store.count() == 0


def test_what_ends_files_and_deletes_by_filter_does_not_trust_an_index(
    store: PostgresRecordStore, postgres_server: PostgresServer, postgres_url: str
) -> None:
    insert(store, *(record(seed, camera="a") for seed in range(1, 300)))
    # An index that has missed a change goes on naming what was there before.
    indexes = "indrelid = 'record'::regclass AND NOT indisprimary AND NOT indisunique"
    for statement in (
        f"UPDATE pg_index SET indisready = false WHERE {indexes}",
        f"UPDATE record SET content = '{record(999).content}', camera = 'b' WHERE seq = 1",
        f"UPDATE pg_index SET indisready = true WHERE {indexes}",
        "ANALYZE record",
    ):
        postgres_server.execute(statement, url=postgres_url)
    with postgres_server_without_scans(postgres_url) as misled:
        assert misled.seqs_of([record(1).id]) == [1]
        assert misled.named([record(999).content]) == set()  # what the index says
        assert record(999).content in misled.contents()
        assert misled.contents_passing(Filter(cameras=("b",))) == {1: record(999).content}
        assert 1 not in misled.contents_passing(Filter(cameras=("a",)))


def postgres_server_without_scans(url: str) -> Any:
    """A store whose database takes an index wherever there is one."""
    return closing(PostgresRecordStore(Database(f"{url}&options=-c%20enable_seqscan%3Doff")))


def test_tables_of_a_newer_program_are_refused(
    store: PostgresRecordStore, postgres_server: PostgresServer, postgres_url: str
) -> None:
    postgres_server.execute("UPDATE gallery SET layout = 2", url=postgres_url)
    with pytest.raises(GalleryError, match="layout 2, this program reads 1: use the program that wrote them"):
        PostgresRecordStore(Database(postgres_url))
    with pytest.raises(GalleryError, match="layout 2"):  # a replica migrated them while this one was running
        insert(store, record(1))
    assert store.count() == 0


@pytest.mark.parametrize("fails", [False, True])
def test_a_migration_is_done_whole_or_not_at_all(
    postgres_url: str, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    with closing(PostgresRecordStore(Database(postgres_url))) as store:
        insert(store, record(1))

    def add_column(connection: Any) -> None:
        connection.exec_driver_sql("ALTER TABLE record ADD COLUMN note text")

    def fill_column(connection: Any) -> None:
        connection.exec_driver_sql("UPDATE record SET note = 'from layout 1'")
        if fails:
            raise ZeroDivisionError

    monkeypatch.setattr(schema, "SCHEMA_VERSION", 3)
    monkeypatch.setattr(schema, "MIGRATIONS", {1: add_column, 2: fill_column})
    if fails:
        with pytest.raises(ZeroDivisionError):
            PostgresRecordStore(Database(postgres_url))
        monkeypatch.undo()
        with closing(PostgresRecordStore(Database(postgres_url))) as store:
            assert store.count() == 1
        return
    PostgresRecordStore(Database(postgres_url)).close()
    assert postgres_server.execute("SELECT layout FROM gallery", url=postgres_url) == [(3,)]
    assert postgres_server.execute("SELECT note FROM record", url=postgres_url) == [("from layout 1",)]
    PostgresRecordStore(Database(postgres_url)).close()  # and is not done again


def test_a_database_that_cannot_keep_every_name_is_refused(postgres_server: PostgresServer) -> None:
    postgres_server.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(GalleryError, match="the database keeps texts as LATIN1: create one with ENCODING 'UTF8'"):
        PostgresRecordStore(Database(postgres_server.url("latin")))
    postgres_server.execute("DROP DATABASE latin WITH (FORCE)")


def test_an_old_server_is_refused(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "_OLDEST_SERVER", (1000,))
    with pytest.raises(GalleryError, match="PostgreSQL 1000 or newer is needed, the server has"):
        PostgresRecordStore(Database(postgres_url))


def test_a_database_without_records_is_not_filled_where_there_have_been_some(postgres_url: str) -> None:
    with pytest.raises(GalleryError, match="there are images, but the database has no records: restore it"):
        PostgresRecordStore(Database(postgres_url), may_create=False)
    PostgresRecordStore(Database(postgres_url)).close()
    PostgresRecordStore(Database(postgres_url), may_create=False).close()


def test_what_is_not_searched_is_found_without_reading_the_records(
    store: PostgresRecordStore, postgres_server: PostgresServer, postgres_url: str
) -> None:
    insert(store, *(record(seed, model=OTHER_MODELS[0] if seed == 7 else MODEL) for seed in range(2000)))
    postgres_server.execute("ANALYZE record", url=postgres_url)
    read = "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'record'"
    postgres_server.execute("SELECT pg_stat_force_next_flush()", url=postgres_url)
    before = postgres_server.execute(read, url=postgres_url)
    assert store.unsearched(Filter(), MODEL) == [8]
    store._database.engine.dispose()  # a session that ends says what it has read
    mine = "application_name = 'sanet' AND datname = current_database()"
    while postgres_server.execute(f"SELECT 1 FROM pg_stat_activity WHERE {mine}", url=postgres_url):
        pass
    assert postgres_server.execute(read, url=postgres_url) == before


def test_records_survive_a_crash_of_the_server_and_the_store_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    server = PostgresServer(syncs=True)
    try:
        with closing(PostgresRecordStore(Database(server.create_database()))) as store:
            insert(store, record(1), record(2))
            with pytest.raises(GalleryUnavailableError), store.transaction() as writer:  # noqa: PT012
                writer.insert(record(3))
                server.crash()
            for call in (store.count, lambda: store.get(record(1).id), lambda: insert(store, record(4))):
                with pytest.raises(GalleryUnavailableError, match=r"could not reach the database test_1 .*try again"):
                    call()
            assert store.num_damaged == 0
            with store.write_lock.even_if_replaced():  # a gallery can be closed
                pass
            server.start()
            insert(store, record(5))
            found = {seq: values(one) for seq, one in store.records_at([1, 2, 3]).items()}
            assert found == {1: values(record(1)), 2: values(record(2)), 3: values(record(5))}
    finally:
        server.remove()


def test_the_driver_is_loaded_only_where_it_is_used() -> None:
    script = "import index.postgres.record_store, sys; assert 'psycopg' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[3])


def test_logs_name_no_password(caplog: pytest.LogCaptureFixture) -> None:
    url = "postgresql://someone:s3cret-word@/gallery?host=/nowhere/at/all&sslpassword=0ther-word"
    with caplog.at_level(logging.DEBUG), pytest.raises(GalleryUnavailableError) as raised:
        PostgresRecordStore(Database(url))
    for text in (str(raised.value), caplog.text):
        assert "s3cret-word" not in text
        assert "0ther-word" not in text
    assert "the database gallery at /nowhere/at/all" in str(raised.value)
