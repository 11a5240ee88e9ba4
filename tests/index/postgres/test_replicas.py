"""The gallery's policy in two processes at once: each has a store and a lock of its own, on one database.

Their index and their images are shared as those of replicas are, by a vector database and an object storage.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from datetime import timedelta

import pytest

from index.gallery.errors import DeletionNotFoundError, GalleryUnavailableError, RecordNotFoundError
from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from index.postgres.database import Database
from index.postgres.record_store import PostgresRecordStore
from tests.index.gallery.memory_backend import DictImages, NumpyIndex
from tests.index.gallery.test_deletions import at
from tests.index.naive_search import EVERYTHING
from tests.index.records import DIM, MODEL, enrolment, record, vector
from tests.postgres_server import PostgresServer


class Replicas:
    def __init__(self, url: str, undo_for: timedelta) -> None:
        self.index, self.images = NumpyIndex(), DictImages()
        self.galleries = [self._gallery(url, undo_for) for _ in range(2)]

    def _gallery(self, url: str, undo_for: timedelta) -> Gallery:
        with ExitStack() as opened:
            store = PostgresRecordStore(Database(url))
            opened.callback(store.close)
            lock = store.write_lock
            return Gallery(store, self.index, self.images, MODEL, DIM, opened.pop_all(), undo_for, writing=lock)

    def ids(self) -> list[str]:
        """Of the index, whose rows are those that either reads."""
        indexed = {seq: one.id for seq, one in self.index.rows.items()}
        for gallery in self.galleries:
            assert {seq: one.id for seq, one in gallery.records_at(range(10_000)).items()} == indexed
        return sorted(indexed.values())

    def close(self) -> None:
        for gallery in self.galleries:
            gallery.close()


@pytest.fixture
def replicas(postgres_url: str) -> Iterator[Replicas]:
    with closing(Replicas(postgres_url, timedelta(hours=1))) as replicas:
        yield replicas


def test_what_both_enrol_at_once_is_enrolled_once(replicas: Replicas) -> None:
    batch = [enrolment(seed) for seed in range(12)]

    def enrol(number: int) -> list[bool]:
        part = batch[number % 2 :: 2] + batch[: number % 5]
        return [one.duplicate for one in replicas.galleries[number % 2].enrol(part)]

    with ThreadPoolExecutor(4) as pool:
        duplicates = [one for answer in pool.map(enrol, range(12)) for one in answer]
    assert duplicates.count(False) == len(batch)
    assert replicas.ids() == sorted(one.record.id for one in batch)
    assert replicas.index.last_seq == len(batch)
    assert replicas.images.contents() == {one.record.content for one in batch}


def test_changes_and_deletions_of_both_leave_index_and_records_the_same(replicas: Replicas) -> None:
    replicas.galleries[0].enrol([enrolment(seed, identity="a") for seed in range(10)])

    def change(number: int) -> None:
        gallery = replicas.galleries[number % 2]
        gallery.enrol([enrolment(100 + number, identity="b")])
        with suppress(RecordNotFoundError):
            gallery.update(record(number % 10).id, {"identity": f"c{number}"})
        with suppress(RecordNotFoundError):
            deletion = gallery.delete(record((number * 3) % 10).id)
            if number % 3 == 0:
                gallery.undo(deletion.id)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(20)))
    ids = replicas.ids()
    assert {record(100 + number).id for number in range(20)} <= set(ids)
    first, second = replicas.galleries
    for where in (Filter(identity="b"), EVERYTHING):
        found = [[match.record.id for match in one.search(vector(3), 40, where).matches] for one in (first, second)]
        assert found[0] == found[1]
        assert len(found[0]) == first.count(where) == second.count(where)


def test_a_deletion_is_undone_by_either_but_not_when_its_time_is_over(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = replicas.galleries
    first.enrol([enrolment(1), enrolment(2)])
    deletion = first.delete(record(1).id)
    assert second.deletions() == [deletion]
    assert second.undo(deletion.id).restored == 1
    again = first.delete(record(2).id)
    at(monkeypatch, timedelta(hours=2))
    with pytest.raises(DeletionNotFoundError):  # though only the first one knows when it ends
        second.undo(again.id)
    assert replicas.ids() == [record(1).id]


def test_an_enrolment_whose_connection_is_lost_leaves_nothing_and_can_be_sent_again(
    replicas: Replicas, postgres_server: PostgresServer, postgres_url: str
) -> None:
    first, second = replicas.galleries
    for statement in (
        "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$",
        "CREATE TRIGGER loses BEFORE INSERT ON record FOR EACH ROW EXECUTE FUNCTION lose()",
    ):
        postgres_server.execute(statement, url=postgres_url)
    with pytest.raises(GalleryUnavailableError, match="try again"):
        first.enrol([enrolment(1)])
    postgres_server.execute("DROP TRIGGER loses ON record", url=postgres_url)
    assert replicas.images.contents() == set()
    assert not second.enrol([enrolment(1)])[0].duplicate
    assert first.enrol([enrolment(1)])[0].duplicate
    assert replicas.ids() == [record(1).id]
