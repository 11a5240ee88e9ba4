"""What every record store promises, whatever keeps the records."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from index.gallery.errors import DamagedRecordError, GalleryError, RecordNotFoundError
from index.gallery.filters import Filter, Near
from index.gallery.record import Record
from index.gallery.record_store import Deletion
from index.gallery.retention import Expired
from tests.index.contract.record_machine import RecordStoreMachine
from tests.index.contract.record_stores import Place, PostgresPlace, SqlitePlace, Store
from tests.index.records import FULL, MODEL, OTHER_MODELS, record, values
from tests.postgres_server import PostgresServer

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def insert(store: Store, *records: Record) -> None:
    with store.transaction() as writer:
        for one in records:
            writer.insert(one)


def deletion(id_: str, num_records: int, *, days: int = 1) -> Deletion:
    return Deletion(id_, NOON, NOON + timedelta(days=days), num_records, undone=False)


def contents(records: Iterable[Record], where: Filter) -> dict[int, str]:
    """What passes of records that were inserted in this order, by `Filter.matches` itself."""
    return {seq: one.content for seq, one in enumerate(records, 1) if where.matches(one)}


def run_machine(make: Callable[[], Place], max_examples: int, seed: bool) -> None:
    class Machine(RecordStoreMachine):
        new_place = staticmethod(make)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=max_examples,
            stateful_step_count=20,
            deadline=None,
            derandomize=seed,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture
def make_place(place: Place, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Any:
    """Makes places of the kind of `place`."""
    if isinstance(place, SqlitePlace):
        return lambda: SqlitePlace(tmp_path_factory.mktemp("records"))
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return lambda: PostgresPlace(server)


def test_whatever_is_written_it_answers_as_dictionaries_do(make_place: Callable[[], Place]) -> None:
    run_machine(make_place, 8, seed=True)


@pytest.mark.trial
def test_whatever_is_written_it_answers_as_dictionaries_do_for_long(make_place: Callable[[], Place]) -> None:
    run_machine(make_place, 500, seed=False)


@pytest.mark.parametrize(
    "one",
    [
        FULL,
        record(2),
        record(3, captured_at=datetime.max.replace(tzinfo=UTC)),
        record(4, captured_at=datetime(1, 1, 1, tzinfo=UTC)),
        record(5, latitude=50, longitude=-0.0),
        record(6, embedding=np.array([np.finfo(np.float32).max, -0.0, 1e-45, *[0] * 13], np.float32)),
    ],
    ids=["every field", "no field", "the last time", "the first time", "whole degrees", "extreme numbers"],
)
def test_a_record_comes_back_as_it_was(place: Place, one: Record) -> None:
    with closing(place.open()) as store:
        insert(store, one)
    with closing(place.open()) as store:
        stored = store.get(one.id)
        assert stored is not None
        assert values(stored) == values(one)
        assert [values(found) for _, found in store.records_after(0, MODEL)] == [values(one)]
        assert [row.fields for row in store.rows_after(0, MODEL)] == [one.fields]


def test_a_transaction_is_seen_by_others_only_when_it_is_committed(store: Store) -> None:
    with ThreadPoolExecutor(1) as other:
        with store.transaction() as writer:
            writer.insert(record(1))
            assert other.submit(store.count).result() == 0
            assert other.submit(lambda: store.last_seq).result() == 0
        assert other.submit(store.count).result() == 1


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_transaction_that_raises_leaves_nothing(store: Store, error: type[BaseException]) -> None:
    first = record(1, camera="north")
    insert(store, first)

    def fail_half_way() -> None:
        with store.transaction() as writer:
            writer.insert(record(2))
            writer.update(record(1, camera="south"))
            writer.set_aside([1], deletion("a" * 32, 1))
            raise error

    with pytest.raises(error):
        fail_half_way()
    kept = store.get(first.id)
    assert kept is not None
    assert values(kept) == values(first)
    assert (store.count(), store.last_seq, store.deletions()) == (1, 1, [])
    insert(store, record(3))
    assert sorted(store.contents_passing(Filter())) == [1, 2]


def test_a_seq_is_never_used_twice(place: Place) -> None:
    with closing(place.open()) as store:
        insert(store, record(1), record(2))
        with store.transaction() as writer:
            writer.delete([1, 2])
    with closing(place.open()) as store:
        assert store.last_seq == 2
        insert(store, record(1))
        assert store.seqs_of([record(1).id]) == [3]


def test_an_update_of_a_record_that_is_not_there_is_an_error(store: Store) -> None:
    insert(store, record(1))
    with pytest.raises(RecordNotFoundError, match=record(2).id), store.transaction() as writer:  # noqa: PT012
        writer.insert(record(3))
        writer.update(record(2))
    assert store.count() == 1


def test_threads_that_write_at_once_lose_nothing_and_share_no_seq(store: Store) -> None:
    def write(thread: int) -> None:
        for number in range(5):
            insert(store, record(100 * thread + number), record(100 * thread + 50 + number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert [row.seq for row in store.rows_after(0, MODEL)] == list(range(1, 41))
    assert store.last_seq == 40
    ids = {row.id: row.seq for row in store.rows_after(0, MODEL)}
    for thread in range(4):
        for number in range(5):  # the two of one transaction lie side by side
            first = ids[record(100 * thread + number).id]
            assert ids[record(100 * thread + 50 + number).id] == first + 1


def test_whoever_has_seen_a_seq_never_sees_a_smaller_one_come(store: Store) -> None:
    written = threading.Event()
    seen: list[int] = []

    def follow() -> None:
        """As an index that catches up from the last seq that it has."""
        while True:
            is_last = written.is_set()
            seen.extend(row.seq for row in store.rows_after(max(seen, default=0), MODEL))
            if is_last:
                return

    with ThreadPoolExecutor(5) as pool:
        follower = pool.submit(follow)
        writers = [pool.submit(insert, store, record(seed), record(seed + 500)) for seed in range(40)]
        for writer in writers:
            writer.result()
        written.set()
        follower.result()
    assert seen == list(range(1, 81))


def test_a_value_with_a_nul_is_nowhere(store: Store) -> None:
    """Addresses and queries may bring one; PostgreSQL takes none in a text."""
    insert(store, record(1, identity="a", camera="b", source="c", tags=("d",), attributes={"e": "f"}))
    everything = {1: record(1).content}
    for where in (
        Filter(identity="a\0"),
        Filter(cameras=("b\0",)),
        Filter(source="\0c"),
        Filter(tags=("d", "d\0")),
        Filter(attributes=(("e\0", "f"),)),
        Filter(attributes=(("e", "f\0"),)),
        Filter(ids=("\0",)),
    ):
        assert store.contents_passing(where) == {}
        assert store.unsearched(where, OTHER_MODELS[0]) == []
    for where in (Filter(other_than="\0"), Filter(cameras=("b", "b\0")), Filter(ids=("\0", record(1).id))):
        assert store.contents_passing(where) == everything
    assert store.get("\0") is None
    assert (store.records_of(["\0"]), store.seqs_of(["\0"]), store.contents_of("\0")) == ([], [], {})
    assert store.named(["\0", record(1).content]) == {record(1).content}
    assert store.deleted_contents("\0") == set()
    assert store.count_expired(Expired(None, {"b\0": NOON + timedelta(days=1)})) == {}


@pytest.mark.parametrize(
    "value", ["' OR 1=1 --", "x') OR ('1'='1", '"; DROP TABLE record; --', "%s", "%(a)s", ":a", "$1"]
)
def test_a_value_that_looks_like_sql_is_only_a_value(store: Store, value: str) -> None:
    named = record(2, identity=value, camera=value, tags=(value,), source=value, attributes={value: value})
    insert(store, record(1, identity="a"), named)
    for where in (
        Filter(identity=value),
        Filter(cameras=(value,)),
        Filter(tags=(value,)),
        Filter(source=value),
        Filter(attributes=((value, value),)),
    ):
        assert store.contents_passing(where) == {2: named.content}
    assert (store.get(value), store.records_of([value]), store.seqs_of([value])) == (None, [], [])
    assert store.count_expired(Expired(None, {value: datetime.max.replace(tzinfo=UTC)})) == {value: 1}
    assert store.count() == 2


def test_a_filter_of_tags_and_attributes_asks_for_each_of_them_whole(store: Store) -> None:
    given: list[dict[str, Any]] = [
        {"tags": ("red", "van")},
        {"tags": ("red,van",)},
        {"tags": ("RED",)},
        {"attributes": {"a": "1", "b": "2"}},
        {"attributes": {"a": "2"}},
        {"attributes": {"a": '{"b": "2"}'}},
        {"tags": ("",)},
        {"identity": ""},
        {},
    ]
    records = [record(seed, **fields) for seed, fields in enumerate(given)]
    insert(store, *records)
    for where in (
        Filter(tags=("red",)),
        Filter(tags=("van", "red")),
        Filter(tags=("red", "")),
        Filter(tags=("",)),
        Filter(attributes=(("a", "1"),)),
        Filter(attributes=(("a", "1"), ("b", "2"))),
        Filter(attributes=(("a", "1"), ("a", "2"))),
        Filter(attributes=(("b", "2"),)),
        Filter(identity=""),
        Filter(),
    ):
        assert store.contents_passing(where) == contents(records, where), where


@pytest.mark.parametrize(
    "near",
    [
        Near(50.0, 8.0, 0.0),
        Near(50.0, 8.0, 111.2),
        Near(50.0, 8.0, 1e9),
        Near(90.0, 0.0, 2000.0),
        Near(-90.0, 0.0, 2000.0),
        Near(0.0, 180.0, 150.0),
        Near(0.0, -180.0, 150.0),
    ],
)
def test_a_circle_holds_whatever_is_within_its_radius(store: Store, near: Near) -> None:
    places = [
        (50.0, 8.0), (50.001, 8.0), (50.0, 8.001), (49.999, 8.0), (89.99, 90.0), (89.99, -90.0), (-89.99, 45.0),
        (0.0, 179.999), (0.0, -179.999), (0.001, 180.0), (0.0, 0.0),
    ]  # fmt: skip
    records = [record(seed, latitude=lat, longitude=lon) for seed, (lat, lon) in enumerate(places)]
    records.append(record(99))
    insert(store, *records)
    where = Filter(near=near)
    assert contents(records, where) != {}
    assert store.contents_passing(where) == contents(records, where)


def test_a_time_is_compared_to_the_microsecond_and_in_any_zone(store: Store) -> None:
    microsecond = timedelta(microseconds=1)
    times = [NOON - microsecond, NOON, NOON + microsecond, datetime.max.replace(tzinfo=UTC), None]
    records = [record(seed, captured_at=time) for seed, time in enumerate(times)]
    insert(store, *records)
    here = NOON.astimezone(timezone(timedelta(hours=-9, minutes=-30)))
    for where in (
        Filter(captured_after=here),
        Filter(captured_before=here),
        Filter(captured_after=NOON, captured_before=NOON + microsecond),
        Filter(captured_after=datetime(1, 1, 1, tzinfo=UTC)),
    ):
        assert store.contents_passing(where) == contents(records, where)


def test_what_is_too_old_goes_by_camera_and_by_the_earlier_of_two_times(store: Store) -> None:
    later = NOON + timedelta(days=900)
    records = [
        record(seed, camera=camera, captured_at=captured_at)
        for seed, (camera, captured_at) in enumerate(
            (camera, captured_at)
            for camera in ("a", "b", None)
            for captured_at in (NOON - timedelta(days=9), later, None)
        )
    ]
    insert(store, *records)
    first = NOON - timedelta(days=1)
    for expired in (
        Expired(later),
        Expired(first),
        Expired(None, {"a": later}),
        Expired(later, {"a": None, "b": first}),
        Expired(None),
        Expired(None, {"a": None}),
    ):
        expected = [(seq, one.id, one.content) for seq, one in enumerate(records, 1) if expired.includes(one)]
        assert store.expired(expired, 0, 99) == expected
        assert store.expired(expired, 3, 2) == [row for row in expected if row[0] > 3][:2]
        cameras = Counter(one.fields.camera for one in records if expired.includes(one))
        assert store.count_expired(expired) == cameras


def test_tallies_are_counts_the_most_frequent_first_and_then_by_bytes(store: Store) -> None:
    cameras = ["b", "a", None, "Z", "a", "b", None, "ä", None, "é", "", "z"]
    insert(store, *(record(seed, camera=camera) for seed, camera in enumerate(cameras)))
    expected = [(None, 3), ("a", 2), ("b", 2), ("", 1), ("Z", 1), ("z", 1), ("ä", 1), ("é", 1)]
    assert store.tallies(100).cameras == expected
    assert store.tallies(2).cameras == expected[:2]
    assert (store.tallies(2).num_cameras, store.tallies(0).cameras) == (7, [])
    assert store.tallies(3).identities == [(None, 12)]
    assert store.tallies(3).num_identities == 0


def test_tallies_follow_every_change(store: Store) -> None:
    insert(store, record(1, camera="a"), record(2, camera="b"))
    assert store.tallies(10).cameras == [("a", 1), ("b", 1)]
    with store.transaction() as writer:
        writer.update(record(2, camera="a"))
    assert store.tallies(10).cameras == [("a", 2)]
    with store.transaction() as writer:
        writer.delete([1])
    assert store.tallies(10).cameras == [("a", 1)]
    assert store.tallies(10).models == [(MODEL.fingerprint, MODEL.precision, 1)]


def test_a_damaged_record_is_not_given_out_but_listed_counted_and_deleted(
    store: Store, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    insert(store, *(record(seed, camera="north") for seed in (1, 2, 3)))
    place.damage(2)
    assert store.num_damaged == 0
    with caplog.at_level(logging.ERROR):
        assert sorted(store.records_at([1, 2, 3])) == [1, 3]
        assert [seq for seq, _ in store.records_after(0, MODEL)] == [1, 3]
        assert {one.id for one in store.records_of([record(2).id, record(3).id])} == {record(3).id}
        with pytest.raises(DamagedRecordError, match=f"{record(2).id} is damaged"):
            store.get(record(2).id)
    assert [message for message in caplog.messages if record(2).id in message] == caplog.messages
    assert len(caplog.messages) == 1
    assert (store.num_damaged, store.damaged) == (1, {2})
    assert store.unsearched(Filter(cameras=("north",)), MODEL) == [2]
    assert store.unsearched(Filter(cameras=("south",)), MODEL) == []
    assert sorted(store.contents_passing(Filter(cameras=("north",)))) == [1, 2, 3]
    assert store.count() == store.num_of_model(MODEL) == 3
    assert store.doubtful_contents() == {record(2).content}
    with store.transaction() as writer:
        writer.delete([2])
    assert (store.num_damaged, store.damaged) == (0, set())


def test_what_was_found_damaged_stays_so_where_its_deletion_fails(store: Store, place: Place) -> None:
    insert(store, record(1), record(2))
    place.damage(1)
    assert sorted(store.records_at([1, 2])) == [2]

    def fail_half_way() -> None:
        with store.transaction() as writer:
            writer.delete([1])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert store.num_damaged == 1


def test_what_was_set_aside_is_found_by_nothing_and_comes_back_as_it_was(store: Store) -> None:
    records = [FULL, *(record(seed, identity="a") for seed in (2, 3, 4))]
    insert(store, *records)
    with store.transaction() as writer:
        writer.set_aside([1, 2, 3], deletion("a" * 32, 3))
    assert store.contents_passing(Filter()) == {4: records[3].content}
    assert store.deleted_contents() == {one.content for one in records[:3]}
    assert store.deletions() == [deletion("a" * 32, 3)]
    insert(store, records[1])  # was enrolled again meanwhile: seq 5
    with store.transaction() as writer:
        assert writer.restore("a" * 32) == 2
        writer.insert(record(9))
    assert {seq: values(one) for seq, one in store.records_at(range(20)).items()} == {
        4: values(records[3]), 5: values(records[1]), 6: values(FULL), 7: values(records[2]), 8: values(record(9)),
    }  # fmt: skip
    assert store.deletions() == [deletion("a" * 32, 3)._replace(undone=True)]
    assert (store.deleted_contents(), store.last_seq) == (set(), 8)


def test_a_damaged_record_comes_back_as_damaged_as_it_was(store: Store, place: Place) -> None:
    insert(store, record(1), record(2))
    place.damage(1)
    with store.transaction() as writer:
        writer.set_aside([1, 2], deletion("a" * 32, 2))
    assert store.num_damaged == 0
    with store.transaction() as writer:
        assert writer.restore("a" * 32) == 2
    assert sorted(store.records_at([3, 4])) == [4]
    assert store.damaged == {3}


def test_a_purge_forgets_what_is_over_at_that_moment_and_nothing_else(store: Store) -> None:
    insert(store, record(1), record(2), record(3))
    with store.transaction() as writer:
        writer.set_aside([1], deletion("a" * 32, 1, days=1))
        writer.set_aside([2], deletion("b" * 32, 1, days=2))
        writer.set_aside([], deletion("c" * 32, 0, days=3))
    with store.transaction() as writer:
        writer.purge(NOON + timedelta(days=1) - timedelta(microseconds=1))
    assert [one.id[0] for one in store.deletions()] == ["c", "b", "a"]
    with store.transaction() as writer:
        writer.purge(NOON + timedelta(days=1))
    assert [one.id[0] for one in store.deletions()] == ["c", "b"]
    assert store.deleted_contents() == {record(2).content}
    assert store.count() == 1


def test_looking_up_nothing_finds_nothing(store: Store) -> None:
    insert(store, record(1))
    assert (store.records_of([]), store.records_at([]), store.seqs_of([])) == ([], {}, [])
    assert (store.contents_of(""), store.named([]), store.doubtful_contents()) == ({}, set(), set())
    with store.transaction() as writer:
        writer.delete([])
        writer.update_fields({}, ["camera"])
    assert store.count() == 1


def test_more_values_than_one_statement_takes_are_looked_up(store: Store) -> None:
    insert(store, *(record(seed) for seed in range(3)))
    # At the borders of statements of 10,000 values, and behind the 65,535 parameters of a protocol.
    places = {0: 1, 10_000: 2, 69_999: 3}
    wanted = [places.get(i, 1_000 + i) for i in range(70_000)]
    assert sorted(store.records_at(wanted)) == [1, 2, 3]
    ids = [record(seq - 1).id if seq <= 3 else str(seq) for seq in wanted]
    assert sorted(store.seqs_of(ids)) == [1, 2, 3]
    assert store.contents_passing(Filter(ids=tuple(ids))) == store.contents_passing(Filter())


def test_a_closed_store_cannot_be_used(place: Place) -> None:
    store = place.open()
    store.close()
    with pytest.raises(GalleryError, match="closed"):
        store.count()
    with pytest.raises(GalleryError, match="closed"), store.transaction():
        pass


def test_records_are_read_in_order_over_many_statements(store: Store) -> None:
    records = [record(seed, model=MODEL if seed % 7 else OTHER_MODELS[0]) for seed in range(600)]
    insert(store, *records)
    of_model = [(seq, one) for seq, one in enumerate(records, 1) if one.model == MODEL]
    found = [(seq, values(one)) for seq, one in store.records_after(3, MODEL)]
    assert found == [(seq, values(one)) for seq, one in of_model if seq > 3]
    assert [row.seq for row in store.rows_after(3, MODEL)] == [seq for seq, _ in of_model if seq > 3]
