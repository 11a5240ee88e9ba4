import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from index.embedded.records.index_repair import repair_indexes
from index.embedded.records.record_store import SqliteRecordStore
from index.gallery.errors import DamagedRecordError, GalleryError, RecordNotFoundError
from index.gallery.filters import Filter, Near
from index.gallery.record import ModelKey, Record
from index.gallery.record_store import Row
from model.box import Box
from tests.index.records import FULL, MODEL, OTHER_MODELS, record, tamper, values


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gallery.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteRecordStore]:
    store = SqliteRecordStore(path)
    yield store
    store.close()


def insert(store: SqliteRecordStore, *records: Record) -> None:
    with store.transaction() as writer:
        for one in records:
            writer.insert(one)


def everything(store: SqliteRecordStore) -> dict[int, Record]:
    """Every intact record, by seq, rising."""
    found = store.records_at(sorted(store.contents_passing(Filter())))
    return {seq: found[seq] for seq in sorted(found)}


def in_thread(work: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def num_open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize(
    "one",
    [
        FULL,
        record(2),
        record(3, captured_at=datetime.max.replace(tzinfo=UTC)),
        record(4, captured_at=datetime(1, 1, 1, tzinfo=UTC)),
    ],
    ids=["every field", "no field", "the last time", "the first time"],
)
def test_a_record_comes_back_as_it_was(path: Path, one: Record) -> None:
    store = SqliteRecordStore(path)
    insert(store, one)
    store.close()
    store = SqliteRecordStore(path)
    stored = store.get(one.id)
    assert stored is not None
    assert values(stored) == values(one)
    assert {seq: values(found) for seq, found in everything(store).items()} == {1: values(one)}
    store.close()


@pytest.mark.parametrize("latitude", [50, -0.0])
def test_a_latitude_that_sqlite_writes_differently_comes_back(store: SqliteRecordStore, latitude: float) -> None:
    one = record(1, latitude=latitude, longitude=8.5)
    insert(store, one)
    stored = store.get(one.id)
    assert stored is not None
    assert stored.fields == one.fields


def test_an_unknown_id_is_none(store: SqliteRecordStore) -> None:
    insert(store, record(1))
    assert store.get("0" * 32) is None


# Per column, ways in which a disk or a wrong hand could change it.
DAMAGE = [
    ("id", "'" + "0" * 32 + "'"),
    ("content", "'" + "0" * 64 + "'"),
    ("media_type", "'image/jpeg'"),
    ("box", "'0,0,60,41'"),
    ("box", "'0,0,60'"),
    ("box", "''"),
    ("whole_image", "0"),
    ("identity", "'other'"),
    ("identity", "NULL"),
    ("camera", "'other'"),
    ("camera", "NULL"),
    ("captured_at", "captured_at + 1"),
    ("captured_at", "9223372036854775807"),
    ("captured_at", "NULL"),
    ("latitude", "latitude + 1e-9"),
    ("latitude", "NULL"),
    ("longitude", "-longitude"),
    ("longitude", "NULL"),
    ("tags", """'["red"]'"""),
    ("tags", """'["red"'"""),
    ("tags", "'7'"),
    ("tags", "'[[]]'"),
    ("source", "'other'"),
    ("source", "NULL"),
    ("attributes", "'{}'"),
    ("attributes", """'{"colour":"reD"}'"""),
    ("attributes", """'{"colour":"red"'"""),
    ("attributes", """'{"colour":["red"]}'"""),
    ("attributes", """'["colour"]'"""),
    ("attributes", "'7'"),
    ("fingerprint", "replace(fingerprint, 'a', 'b')"),
    ("precision", "'bf16'"),
    ("enrolled_at", "enrolled_at - 1"),
    ("enrolled_at", "-9223372036854775808"),
    ("checksum", "zeroblob(32)"),
    ("checksum", "x''"),
    ("embedding", "CAST(substr(embedding, 1, length(embedding) - 1) || x'5a' AS BLOB)"),
    ("embedding", "substr(embedding, 1, length(embedding) - 1)"),
    ("embedding", "substr(embedding, 1, length(embedding) - 4)"),
    ("embedding", "x''"),
    ("theta", "CAST(x'5a' || substr(theta, 2) AS BLOB)"),
    ("theta", "substr(theta, 5)"),
    ("theta", "CAST(theta || x'00000000' AS BLOB)"),
]


@pytest.mark.parametrize(("column", "value"), DAMAGE)
def test_damage_to_any_column_is_found(
    store: SqliteRecordStore, path: Path, caplog: pytest.LogCaptureFixture, column: str, value: str
) -> None:
    full = _full(2)
    insert(store, record(1), full, record(3))
    table = "embedding" if column in ("embedding", "theta") else "record"
    tamper(path, f"UPDATE {table} SET {column} = {value} WHERE seq = 2")
    id_ = "0" * 32 if column == "id" else full.id
    with caplog.at_level(logging.ERROR):
        assert list(everything(store)) == [1, 3]
        assert sorted(store.records_at([1, 2, 3])) == [1, 3]
    assert [message for message in caplog.messages if id_ in message and "damaged" in message] == caplog.messages
    assert len(caplog.messages) == 1
    assert store.damaged == {2}
    assert store.num_damaged == 1
    with pytest.raises(DamagedRecordError, match=f"{id_} is damaged"):
        store.get(id_)
    assert store.seqs_of([id_]) == [2]


def _full(seed: int) -> Record:
    time = datetime(2026, 5, 1, tzinfo=UTC)
    return record(
        seed, identity="a", camera="north", captured_at=time, latitude=50.0, longitude=8.0, tags=("van",),
        source="a.jpg", attributes={"colour": "red"},
    )  # fmt: skip


def test_damage_is_tried_on_every_column(store: SqliteRecordStore, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        tables = ("record", "embedding")
        columns = {row[1] for table in tables for row in connection.execute(f"PRAGMA table_info({table})")}
    assert {column for column, _ in DAMAGE} == columns - {"seq"}


@pytest.mark.parametrize(
    ("column", "value", "where"),
    [("tags", "'[\"van'", Filter(tags=("van",))), ("longitude", "NULL", Filter(near=Near(50.0, 8.0, 1.0)))],
    ids=["tags", "near"],
)
def test_a_damaged_record_does_not_break_the_filters(
    store: SqliteRecordStore, path: Path, column: str, value: str, where: Filter
) -> None:
    insert(store, _full(1), _full(2))
    tamper(path, f"UPDATE record SET {column} = {value} WHERE seq = 1")
    assert sorted(store.contents_passing(where)) == [2]


@pytest.mark.parametrize("where", [Filter(), Filter(cameras=("1",)), Filter(identity="v0", tags=("van",))])
def test_what_is_not_searched_was_made_by_another_model_or_is_damaged(
    store: SqliteRecordStore, path: Path, where: Filter
) -> None:
    keys = [ModelKey(fingerprint * 64, precision) for fingerprint in "abc" for precision in ("bf16", "float32")]
    records = [
        record(
            seed, model=keys[seed % 6], camera=str(seed % 2), identity=f"v{seed % 3}", tags=("van",) * (seed % 4 > 1)
        )
        for seed in range(60)
    ]
    insert(store, *records)
    tamper(path, "UPDATE record SET media_type = 'x' WHERE seq IN (4, 10, 40, 46)")
    passing = [seq for seq, one in enumerate(records, start=1) if where.matches(one)]
    for key in keys:
        expected = [seq for seq in passing if records[seq - 1].model != key]
        assert store.unsearched(where, key) == expected
    assert store.unsearched(where, ModelKey("aa", "float32")) == passing
    store.records_at(range(1, 61))  # finds the damage
    assert store.damaged == {4, 10, 40, 46}
    expected = [seq for seq in passing if records[seq - 1].model != keys[3] or seq in store.damaged]
    assert store.unsearched(where, keys[3]) == expected


def test_what_is_not_searched_is_found_without_reading_the_records(store: SqliteRecordStore) -> None:
    insert(store, *(record(seed) for seed in range(2000)))
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    with store._connection() as connection:
        connection.set_progress_handler(step, 100)  # called after every 100 instructions of SQLite's machine
    assert store.unsearched(Filter(tags=("van",)), record(0).model) == []
    assert steps < 20


def test_tallies_are_read_anew_after_every_change_and_only_then(
    store: SqliteRecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Mock(wraps=store._rows)
    monkeypatch.setattr(store, "_rows", read)
    insert(store, record(1, camera="a"), record(2, camera="b"))
    assert store.tallies(10).cameras == [("a", 1), ("b", 1)]
    num_reads = read.call_count
    assert num_reads > 0
    assert store.tallies(10).cameras == [("a", 1), ("b", 1)]
    assert read.call_count == num_reads
    assert store.tallies(1).cameras == [("a", 1)]
    with store.transaction() as writer:
        writer.update(record(2, camera="a"))
    assert store.tallies(10).cameras == [("a", 2)]
    with store.transaction() as writer:
        writer.delete([1])
    assert store.tallies(10).cameras == [("a", 1)]

    def fail() -> None:
        with store.transaction() as writer:
            writer.delete([2])
            assert store.tallies(10).cameras == [("a", 1)]  # it is not committed
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.tallies(10).cameras == [("a", 1)]


def test_tallies_that_were_read_while_records_changed_do_not_stay(
    store: SqliteRecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(store, record(1, camera="a"))
    tally = store._tally

    def changed_after(columns: str, limit: int) -> list[tuple[Any, ...]]:
        tallied = tally(columns, limit)
        monkeypatch.setattr(store, "_tally", tally)
        insert(store, record(2, camera="b"))
        return tallied

    monkeypatch.setattr(store, "_tally", changed_after)
    assert store.tallies(10).cameras == [("a", 1)]
    assert store.tallies(10).cameras == [("a", 1), ("b", 1)]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_transaction_that_raises_leaves_nothing(
    store: SqliteRecordStore, path: Path, error: type[BaseException]
) -> None:
    first = _full(1)
    insert(store, first)

    def fail_half_way() -> None:
        with store.transaction() as writer:
            writer.insert(record(2))
            writer.update(record(1, camera="south"))
            writer.delete([1])
            raise error

    with pytest.raises(error):
        fail_half_way()
    kept = store.get(first.id)
    assert kept is not None
    assert values(kept) == values(first)
    assert store.count() == 1
    insert(store, record(3))
    assert sorted(store.contents_passing(Filter())) == [1, 2]


def test_a_transaction_is_seen_by_others_only_when_it_is_committed(store: SqliteRecordStore) -> None:
    with store.transaction() as writer:
        writer.insert(record(1))
        assert in_thread(store.count) == 0
    assert in_thread(store.count) == 1


def test_an_update_changes_the_fields_and_the_checksum_of_one_record_only(store: SqliteRecordStore) -> None:
    others = [_full(1), _full(3)]
    insert(store, others[0], record(2), others[1])
    changed = _full(2)
    with store.transaction() as writer:
        assert writer.update(changed) == 2
    assert [values(one) for one in everything(store).values()] == [
        values(one) for one in (others[0], changed, others[1])
    ]


def test_deleting_a_record_deletes_its_embedding(store: SqliteRecordStore, path: Path) -> None:
    insert(store, record(1), record(2), record(3))
    with store.transaction() as writer:
        writer.delete([1, 3, 99])
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT seq FROM record").fetchall() == [(2,)]
        assert connection.execute("SELECT seq FROM embedding").fetchall() == [(2,)]


def test_a_seq_is_never_used_twice(store: SqliteRecordStore) -> None:
    insert(store, record(1), record(2))
    with store.transaction() as writer:
        writer.delete([2])
        writer.insert(record(2))
    assert sorted(store.contents_passing(Filter())) == [1, 3]


def test_the_layout_of_a_newer_program_is_refused(path: Path) -> None:
    SqliteRecordStore(path).close()
    tamper(path, "PRAGMA user_version = 4")
    with pytest.raises(GalleryError, match="layout 4, this program reads 3"):
        SqliteRecordStore(path)


def test_every_connection_writes_ahead_and_syncs_every_commit(store: SqliteRecordStore) -> None:
    with store._connection() as first, store._connection() as second:
        assert first is not second
        for connection in (first, second):
            names = ("journal_mode", "synchronous", "foreign_keys")
            found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
            assert found == ["wal", 2, 1]


def test_many_threads_read_while_one_writes(store: SqliteRecordStore) -> None:
    expected = {seed: values(record(seed)) for seed in range(1, 61)}
    done = threading.Event()

    def read() -> int:
        seen = 0
        while not done.is_set() or seen < 60:
            found = list(store.records_after(0, MODEL))
            assert [seq for seq, _ in found] == list(range(1, len(found) + 1))
            assert len(found) % 3 == 0
            assert len(found) >= seen
            seen = len(found)
            assert all(values(one) == expected[seq] for seq, one in found)
        return seen

    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(read) for _ in range(6)]
        for seed in range(1, 61, 3):
            insert(store, record(seed), record(seed + 1), record(seed + 2))
        done.set()
        assert [reader.result() for reader in readers] == [60] * 6


def test_threads_that_end_leave_no_connection_open(store: SqliteRecordStore) -> None:
    in_thread(store.count)
    before = num_open_files()
    for _ in range(20):
        in_thread(store.count)
    assert num_open_files() < before + 20


def test_a_closed_store_cannot_be_used_from_any_thread(path: Path) -> None:
    store = SqliteRecordStore(path)
    store.close()
    with pytest.raises(GalleryError, match="closed"):
        store.count()
    with pytest.raises(GalleryError, match="closed"):
        in_thread(store.count)


def test_a_reader_under_way_finishes_when_the_store_is_closed(path: Path) -> None:
    before = num_open_files()
    store = SqliteRecordStore(path)
    insert(store, record(1), record(2))
    found = store.records_after(0, MODEL)
    assert next(found)[0] == 1
    store.close()
    assert [seq for seq, _ in found] == [2]
    assert num_open_files() == before


def test_more_values_than_one_statement_takes_are_looked_up(store: SqliteRecordStore) -> None:
    insert(store, *(record(seed) for seed in range(6)))
    # At the borders of statements of 10,000 values.
    places = {0: 1, 9_999: 2, 10_000: 3, 19_999: 4, 20_000: 5, 24_999: 6}
    wanted = [places.get(i, 1_000 + i) for i in range(25_000)]
    assert sorted(store.records_at(wanted)) == [1, 2, 3, 4, 5, 6]
    ids = [record(seq - 1).id if seq <= 6 else str(seq) for seq in wanted]
    assert sorted(one.id for one in store.records_of(ids)) == sorted(record(seed).id for seed in range(6))
    assert sorted(store.seqs_of(ids)) == [1, 2, 3, 4, 5, 6]


def test_looking_up_no_values_finds_nothing(store: SqliteRecordStore) -> None:
    insert(store, record(1))
    assert store.records_of([]) == []
    assert store.records_at([]) == {}
    assert store.seqs_of([]) == []
    assert store.contents_of("") == {}
    assert store.named([]) == set()


@pytest.mark.parametrize("value", ["' OR 1=1 --", "x') OR ('1'='1", '"; DROP TABLE record; --'])
def test_a_value_that_looks_like_sql_is_only_a_value(store: SqliteRecordStore, value: str) -> None:
    insert(store, record(1, identity="a"), record(2, identity=value, camera=value, tags=(value,)))
    assert store.contents_passing(Filter(identity=value)) == {2: record(2).content}
    assert (store.records_of([value]), store.seqs_of([value]), store.contents_of(value)) == ([], [], {})
    assert sorted(store.contents_passing(Filter(identity=value))) == [2]
    assert sorted(store.contents_passing(Filter(identity=value, cameras=(value,), tags=(value,)))) == [2]
    assert store.get(value) is None
    assert store.count() == 2


def test_tallies_are_counts_the_most_frequent_first(store: SqliteRecordStore) -> None:
    cameras = ["b", "a", None, "c", "a", "b", None, "d", None, None]
    insert(store, *(record(seed, camera=camera) for seed, camera in enumerate(cameras)))
    counted = Counter(cameras)
    expected = sorted(counted.items(), key=lambda item: (-item[1], item[0] or ""))
    assert store.tallies(100).cameras == expected == [(None, 4), ("a", 2), ("b", 2), ("c", 1), ("d", 1)]
    assert store.tallies(2).cameras == expected[:2]
    assert store.tallies(2).num_cameras == 4


def test_the_records_behind_a_seq_are_those_of_the_model_in_their_order(store: SqliteRecordStore, path: Path) -> None:
    models = [MODEL, OTHER_MODELS[0], MODEL, OTHER_MODELS[1], MODEL, MODEL]
    insert(store, *(record(seed, model=model) for seed, model in enumerate(models, start=1)))
    tamper(path, "UPDATE record SET box = '' WHERE seq = 5")
    assert [(seq, values(one)) for seq, one in store.records_after(1, MODEL)] == [
        (seq, values(record(seq))) for seq in (3, 6)
    ]
    assert [seq for seq, _ in store.records_after(0, OTHER_MODELS[1])] == [4]
    assert list(store.records_after(6, MODEL)) == []


@pytest.mark.parametrize("seqs", [[1, 3, 2], [2, 2], [1, 2, 1]])
def test_records_that_the_disk_brought_out_of_order_are_an_error(
    store: SqliteRecordStore, monkeypatch: pytest.MonkeyPatch, seqs: list[int]
) -> None:
    monkeypatch.setattr(store, "_find", lambda *_: ((seq, record(seq)) for seq in seqs))
    with pytest.raises(GalleryError, match=r"out of order: restore gallery\.sqlite from a backup"):
        list(store.records_after(0, MODEL))


def test_what_is_found_damaged_and_then_deleted_is_not_counted_any_more(store: SqliteRecordStore, path: Path) -> None:
    insert(store, record(1), record(2), record(3))
    tamper(path, "UPDATE record SET box = '' WHERE seq < 3")
    assert list(everything(store)) == [3]
    assert store.num_damaged == 2

    def fail_half_way() -> None:
        with store.transaction() as writer:
            writer.delete([1, 2])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert store.num_damaged == 2
    with store.transaction() as writer:
        writer.delete([1])
    assert (store.num_damaged, store.damaged) == (1, {2})


def test_an_update_of_a_record_that_is_not_there_is_an_error(store: SqliteRecordStore) -> None:
    insert(store, record(1))
    with pytest.raises(RecordNotFoundError, match=record(2).id), store.transaction() as writer:
        writer.update(record(2))


def test_records_are_counted_per_fingerprint_and_precision(store: SqliteRecordStore) -> None:
    models = [MODEL, OTHER_MODELS[0], OTHER_MODELS[1], MODEL, OTHER_MODELS[1], MODEL]
    insert(store, *(record(seed, model=model) for seed, model in enumerate(models)))
    assert [store.num_of_model(model) for model in (MODEL, *OTHER_MODELS)] == [3, 1, 2]
    assert store.tallies(0).models == [
        ("a" * 64, "float32", 3), ("a" * 64, "bf16", 2), ("b" * 64, "float32", 1),
    ]  # fmt: skip


def test_contents_are_those_of_all_records(store: SqliteRecordStore) -> None:
    insert(store, record(1, frame=1), record(2, frame=1, box=Box(1, 1, 5, 5)), record(3, frame=3))
    assert store.contents() == {record(1).content, record(3).content}
    assert store.named([record(1).content, "0" * 64]) == {record(1).content}
    assert store.contents_of(record(3).id) == {3: record(3).content}
    assert store.tallies(0).num_images == 2


def test_the_id_of_a_damaged_record_names_its_image(store: SqliteRecordStore, path: Path) -> None:
    insert(store, record(1), record(2))
    tamper(path, "UPDATE record SET content = ? WHERE seq = 1", "0" * 64)
    assert store.records_at([1]) == {}
    assert store.doubtful_contents() == {"0" * 64}
    assert store.named([record(1).content, record(3).content]) == {record(1).content}
    tamper(path, "UPDATE record SET box = '' WHERE seq = 1")
    assert store.named([record(1).content, record(2).content]) == {record(2).content}


def test_what_ends_files_and_deletes_by_filter_does_not_trust_an_index(
    store: SqliteRecordStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "index.embedded.records.record_store.repair_indexes", lambda *_: None
    )  # as if damaged after the start
    insert(store, record(1, identity="a"), record(2, identity="b"))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # The table changes under an index that goes on naming what was there before.
        connection.execute("PRAGMA writable_schema = ON")
        saved = connection.execute("SELECT name, rootpage, sql FROM sqlite_master WHERE type = 'index'").fetchall()
        saved = [row for row in saved if row[0] in ("record_content", "record_identity")]
        connection.execute("DELETE FROM sqlite_master WHERE name IN ('record_content', 'record_identity')")
    tamper(path, "UPDATE record SET content = ?, identity = 'b' WHERE seq = 1", record(3).content)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        for name, rootpage, sql in saved:
            connection.execute(
                "INSERT INTO sqlite_master (type, name, tbl_name, rootpage, sql) VALUES ('index', ?, 'record', ?, ?)",
                [name, rootpage, sql],
            )
    damaged = SqliteRecordStore(path)
    assert damaged.tallies(9).identities == [("a", 1), ("b", 1)]  # what the index says
    assert damaged.contents() == {record(3).content, record(2).content}
    # It moves files to the trash, from which a record takes back what it lacks.
    assert damaged.named([record(1).content, record(3).content]) == {record(1).content}
    assert damaged.contents_passing(Filter(identity="a")) == {}
    assert damaged.contents_passing(Filter(identity="b")) == {1: record(3).content, 2: record(2).content}
    damaged.close()


def test_a_record_whose_embedding_is_lost_is_damaged(store: SqliteRecordStore, path: Path) -> None:
    insert(store, record(1), record(2))
    tamper(path, "DELETE FROM embedding WHERE seq = 1")
    assert list(everything(store)) == [2]
    assert store.damaged == {1}
    with pytest.raises(DamagedRecordError):
        store.get(record(1).id)


def test_the_last_seq_is_the_highest_ever_given(store: SqliteRecordStore) -> None:
    assert store.last_seq == 0
    insert(store, record(1), record(2))
    with store.transaction() as writer:
        writer.delete([2])
    assert store.last_seq == 2


@pytest.mark.parametrize("pragma", ["journal_mode = WAL", "foreign_keys = ON"])
def test_a_connection_that_cannot_be_set_up_is_closed(path: Path, monkeypatch: pytest.MonkeyPatch, pragma: str) -> None:
    class Failing(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if pragma in sql:
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(sql, *parameters)

    connect = sqlite3.connect
    before = num_open_files()
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, **options, factory=Failing))
        with pytest.raises(GalleryError, match=r"gallery\.sqlite cannot be read or written: disk I/O error"):
            SqliteRecordStore(path)
    assert num_open_files() == before


def test_a_folder_that_cannot_be_written_is_named(store: SqliteRecordStore) -> None:
    with store._connection() as connection:
        connection.execute("PRAGMA query_only = ON")
    with pytest.raises(GalleryError, match=r"gallery\.sqlite cannot be read or written: attempt to write a readonly"):
        insert(store, record(1))


def test_a_damaged_index_is_rebuilt_when_the_store_is_opened(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(SqliteRecordStore(path)) as store:
        insert(store, *(record(seed, camera="north") for seed in range(20)))
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'record_camera'").fetchone()
    data = bytearray(path.read_bytes())
    start, end = (page - 1) * 4096, page * 4096
    data[start:end] = data[start:end].replace(b"north", b"nosth", 3)
    path.write_bytes(data)
    with closing(SqliteRecordStore(path)) as store:
        assert store.tallies(9).cameras == [("north", 20)]
    assert "have been rebuilt; no record is lost" in caplog.text
    caplog.clear()
    SqliteRecordStore(path).close()
    assert not caplog.text


def test_a_damaged_table_stays_as_it_is(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(SqliteRecordStore(path)) as store:
        insert(store, *(record(seed, camera="north") for seed in range(40)))
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'record'").fetchone()
    data = bytearray(path.read_bytes())
    data[(page - 1) * 4096 + 3 : (page - 1) * 4096 + 5] = b"\0\1"  # its number of cells
    path.write_bytes(data)
    SqliteRecordStore(path).close()
    assert "is damaged, answers may lack records: restore it from a backup" in caplog.text
    assert path.read_bytes() == data


def test_indexes_that_cannot_be_rebuilt_do_not_keep_the_store_from_opening(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(SqliteRecordStore(path)) as store:
        insert(store, *(record(seed, camera="north") for seed in range(3)))
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'record_camera'").fetchone()
    data = bytearray(path.read_bytes())
    start, end = (page - 1) * 4096, page * 4096
    data[start:end] = data[start:end].replace(b"north", b"nosth", 1)
    path.write_bytes(data)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA query_only = ON")
        repair_indexes(connection, path)
    assert "could not be rebuilt, answers may lack records: attempt to write a readonly database" in caplog.text


def test_rows_are_the_records_of_a_model_without_their_embeddings(store: SqliteRecordStore) -> None:
    full: dict[str, Any] = {
        "identity": "a", "camera": "north", "captured_at": datetime(1950, 5, 1, 12, 0, 0, 7, tzinfo=UTC),
        "latitude": 50.5, "longitude": -8.25, "tags": ("x", "ö"), "source": "a/b.jpg", "attributes": {"colour": "red"},
    }  # fmt: skip
    others = [record(seed, model=model) for seed, model in enumerate(OTHER_MODELS, 3)]
    records = [record(1, **full), record(2), *others, record(5)]
    insert(store, *records)
    kept = [(seq, one) for seq, one in enumerate(records, 1) if one.model == MODEL]
    age = {seq: one.enrolled_at - datetime(1970, 1, 1, tzinfo=UTC) for seq, one in kept}
    expected = [Row(seq, one.id, age[seq] // timedelta(microseconds=1), one.fields) for seq, one in kept]
    assert list(store.rows_after(0, MODEL)) == expected
    assert list(store.rows_after(1, MODEL)) == expected[1:]
    assert list(store.rows_after(5, MODEL)) == []


@pytest.mark.parametrize(
    "damage", ["tags = 'no JSON'", "attributes = '[1]'", "latitude = NULL", "captured_at = 9223372036854775807"]
)
def test_a_row_whose_fields_cannot_be_read_is_left_out_and_counted(store: SqliteRecordStore, damage: str) -> None:
    insert(store, *(record(seed, latitude=1.0, longitude=2.0) for seed in range(3)))
    with store._connection() as connection:
        connection.execute(f"UPDATE record SET {damage} WHERE seq = 2")
    for _ in range(2):
        assert [row.seq for row in store.rows_after(0, MODEL)] == [1, 3]
    assert store.num_damaged == 1
