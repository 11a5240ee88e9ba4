from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from index.embedded.records.record_reader import RecordReader
from index.embedded.records.record_store import SqliteRecordStore
from index.embedded.records.successor import Successor
from index.gallery.fields import Fields
from index.gallery.record import ModelKey, Record
from tests.index.records import MODEL, record, tamper, values, vector

NEXT = ModelKey("c" * 64, "float32")


def embedded(found: Record) -> Record:
    """As the next model would have it."""
    seed = int(found.id[:8], 16)
    return replace(found, embedding=vector(seed, 8), theta=vector(seed + 1, 6).reshape(2, 3), model=NEXT)


def take_over(successor: Successor, lost: frozenset[str] = frozenset()) -> None:
    missing = successor.missing()
    made = {seq: embedded(found) for seq, found in successor.records_at(missing) if found.id not in lost}
    successor.put(missing, made)


def by_seq(path: Path) -> dict[int, dict[str, object]]:
    with RecordReader(path) as reader:
        return {seq: values(found) for seq, found in reader.walk() if isinstance(found, Record)}


@pytest.fixture
def old(tmp_path: Path) -> Iterator[SqliteRecordStore]:
    with closing(SqliteRecordStore(tmp_path / "old.sqlite")) as store:
        with store.transaction() as writer:
            for seed in range(1, 6):
                writer.insert(record(seed, identity=f"v{seed}", tags=("ä",)))
        yield store


def open_successor(tmp_path: Path) -> Successor:
    return Successor(tmp_path / "old.sqlite", tmp_path / "next.sqlite", NEXT)


def test_every_record_is_taken_over_under_its_seq_with_all_but_its_embedding(
    old: SqliteRecordStore, tmp_path: Path
) -> None:
    with old.transaction() as writer:
        writer.delete([2])
    with open_successor(tmp_path) as successor:
        assert successor.missing() == [1, 3, 4, 5]
        take_over(successor)
        assert successor.missing() == []
        assert (successor.num_records(), successor.num_wanted(), successor.num_embedded()) == (4, 4, 4)
        assert successor.follow() == ([], {})
    expected = {seed: values(embedded(record(seed, identity=f"v{seed}", tags=("ä",)))) for seed in (1, 3, 4, 5)}
    assert by_seq(tmp_path / "next.sqlite") == expected


def test_what_is_changed_deleted_and_enrolled_again_meanwhile_is_followed(
    old: SqliteRecordStore, tmp_path: Path
) -> None:
    with open_successor(tmp_path) as successor:
        take_over(successor)
        with old.transaction() as writer:
            writer.update(record(1, identity="other", attributes={"a": "b"}))
            writer.delete([2, 4])
            writer.insert(record(4, identity="again"))  # seq 6
            writer.insert(record(9))
        assert successor.follow() == ([2, 4], {1: Fields(identity="other", attributes={"a": "b"})})
        assert successor.missing() == [6, 7]
        take_over(successor)
        assert successor.follow() == ([], {})
    found = by_seq(tmp_path / "next.sqlite")
    assert list(found) == [1, 3, 5, 6, 7]
    assert found[1] == values(embedded(record(1, identity="other", attributes={"a": "b"})))
    assert found[6] == values(embedded(record(4, identity="again")))


def test_a_record_that_is_deleted_and_enrolled_again_is_put_before_it_is_followed(
    old: SqliteRecordStore, tmp_path: Path
) -> None:
    with open_successor(tmp_path) as successor:
        take_over(successor)
        with old.transaction() as writer:
            writer.delete([4])
            writer.insert(record(4, identity="again"))
        take_over(successor)
        assert successor.follow() == ([], {})
    assert by_seq(tmp_path / "next.sqlite")[6] == values(embedded(record(4, identity="again")))


def test_what_cannot_be_embedded_is_taken_over_as_it_is(old: SqliteRecordStore, tmp_path: Path) -> None:
    tamper(tmp_path / "old.sqlite", "UPDATE record SET camera = CAST(x'6eff72' AS TEXT) WHERE seq = 3")
    tamper(tmp_path / "old.sqlite", "DELETE FROM embedding WHERE seq = 5")
    with open_successor(tmp_path) as successor:
        take_over(successor, lost=frozenset({record(2).id}))
        assert (successor.missing(), successor.num_embedded()) == ([], 2)
        assert successor.follow() == ([], {})
    found = by_seq(tmp_path / "next.sqlite")
    assert found[2] == values(record(2, identity="v2", tags=("ä",)))
    assert sorted(found) == [1, 2, 4]
    with closing(SqliteRecordStore(tmp_path / "next.sqlite")) as store:
        assert store.count() == 5
        raw = list(store._rows("SELECT CAST(camera AS BLOB), checksum FROM record WHERE seq = 3"))
        assert raw == [(b"n\xffr", record(3, identity="v3", tags=("ä",)).checksum())]


def test_what_could_not_be_embedded_is_tried_again(old: SqliteRecordStore, tmp_path: Path) -> None:
    with open_successor(tmp_path) as successor:
        take_over(successor, lost=frozenset({record(2).id, record(4).id}))
        successor.drop_not_embedded()
        assert successor.missing() == [2, 4]
        take_over(successor)
    assert [found["model"] for found in by_seq(tmp_path / "next.sqlite").values()] == [NEXT] * 5


def test_a_record_that_is_damaged_meanwhile_is_taken_over_as_it_is(old: SqliteRecordStore, tmp_path: Path) -> None:
    with open_successor(tmp_path) as successor:
        take_over(successor)
        tamper(tmp_path / "old.sqlite", "UPDATE record SET identity = 'flipped' WHERE seq = 2")
        assert successor.follow() == ([], {})
        assert successor.follow() == ([], {})
    with closing(SqliteRecordStore(tmp_path / "next.sqlite")) as store:
        assert store.records_at([2]) == {}
        assert store.count() == 5


def test_the_next_seq_and_what_was_deleted_are_taken_over_at_the_end(old: SqliteRecordStore, tmp_path: Path) -> None:
    with old.transaction() as writer:
        writer.delete([5])
    with open_successor(tmp_path) as successor:
        take_over(successor)
        successor.finish()
        successor.finish()  # as after an interruption
    with closing(SqliteRecordStore(tmp_path / "next.sqlite")) as store:
        assert store.last_seq == 5
        with store.transaction() as writer:
            writer.insert(record(5))
        assert store.seqs_of([record(5).id]) == [6]


CHANGES = st.lists(st.tuples(st.sampled_from(["insert", "delete", "update", "step", "reopen"]), st.integers(0, 7)))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
def test_whatever_happens_meanwhile_it_ends_as_if_it_had_come_last(
    changes: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("successor")
    with closing(SqliteRecordStore(folder / "old.sqlite")) as store:
        successor = Successor(folder / "old.sqlite", folder / "next.sqlite", NEXT)
        for number, (change, seed) in enumerate(changes):
            with store.transaction() as writer:
                stored = store.seqs_of([record(seed).id])
                if change == "insert" and not stored:
                    writer.insert(record(seed, identity=f"n{number}"))
                elif change == "delete":
                    writer.delete(stored)
                elif change == "update" and stored:
                    writer.update(record(seed, identity=f"n{number}", source="s"))
            if change == "step":  # half of what is missing
                missing = successor.missing()
                half = missing[: 1 + len(missing) // 2]
                successor.put(half, {seq: embedded(found) for seq, found in successor.records_at(half)})
            elif change == "reopen":
                successor.__exit__()
                successor = Successor(folder / "old.sqlite", folder / "next.sqlite", NEXT)
        successor.follow()
        take_over(successor)
        successor.finish()
        successor.__exit__()
        expected = {seq: values(embedded(found)) for seq, found in store.records_after(0, MODEL)}
        assert by_seq(folder / "next.sqlite") == expected
