from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from index.gallery.record import Record
from tests.index.gallery.backends import Backend
from tests.index.naive_search import EVERYTHING, ids, naive, naive_groups
from tests.index.records import DIM, enrolment, in_one_frame, record, vector


@pytest.mark.parametrize("top_k", [1, 10, 200, 201, 1000])
@pytest.mark.parametrize("camera", [None, "c3", "nowhere"])
def test_a_search_ranks_what_passes_the_filter(gallery: Gallery, top_k: int, camera: str | None) -> None:
    enrolments = [in_one_frame(seed, camera=f"c{seed % 5}") for seed in range(200)]
    gallery.enrol(enrolments)
    passing = [one for one in enrolments if camera in (None, one.record.fields.camera)]
    where = EVERYTHING if camera is None else Filter(cameras=(camera,))
    found = gallery.search(vector(9_999), top_k, where)
    assert ids(found) == naive(passing, vector(9_999), top_k)
    assert found.searched == len(passing)
    assert [match.distance for match in found.matches] == sorted(match.distance for match in found.matches)


# --- the nearest of each identity


@pytest.mark.parametrize("top_k", [1, 5, 14, 15, 1000])
def test_grouping_gives_the_nearest_of_each_identity(gallery: Gallery, top_k: int) -> None:
    # Twelve identities, and every thirteenth record without one.
    batch = [in_one_frame(seed, identity=f"v{seed % 13}" if seed % 13 else None) for seed in range(150)]
    gallery.enrol(batch)
    for query in (vector(500), vector(501), vector(0), vector(1)):
        found = gallery.search(query, top_k, EVERYTHING, group_by="identity")
        assert ids(found) == naive_groups(batch, query, top_k)
        assert found.searched == 150


def test_an_identity_named_like_an_id_is_still_a_group_of_its_own(gallery: Gallery) -> None:
    batch = [enrolment(1), enrolment(2, identity=record(1).id), enrolment(3, identity="")]
    gallery.enrol(batch)
    assert ids(gallery.search(vector(1), 9, EVERYTHING, group_by="identity")) == naive(batch, vector(1), 9)


@pytest.mark.parametrize("top_k", [2, 3, 21, 50])
def test_an_identity_with_hundreds_of_nearest_records_hides_nobody(gallery: Gallery, top_k: int) -> None:
    crowd = [in_one_frame(seed, identity="crowd", embedding=vector(seed) * np.float32(1e-3)) for seed in range(400)]
    others = [in_one_frame(seed, identity=f"v{seed % 20}", camera="north") for seed in range(400, 500)]
    gallery.enrol(crowd + others)
    query = np.zeros(DIM, np.float32)
    found = gallery.search(query, top_k, EVERYTHING, group_by="identity")
    assert ids(found) == naive_groups(crowd + others, query, top_k)
    assert len(found.matches) == min(top_k, 21)
    north = gallery.search(query, top_k, Filter(cameras=("north",)), group_by="identity")
    assert ids(north) == naive_groups(others, query, top_k)


# --- changes between the steps of a search or a page


def between_the_steps(gallery: Gallery, change: Callable[[], object]) -> None:
    """Calls `change` once, right before the store reads the records that the answer will hold."""
    records_at = gallery._store.records_at

    def changing(seqs: Sequence[int]) -> dict[int, Record]:
        gallery._store.records_at = records_at  # type: ignore[method-assign]
        change()
        return records_at(seqs)

    gallery._store.records_at = changing  # type: ignore[method-assign]


@pytest.mark.parametrize("group_by", [None, "identity"])
@pytest.mark.parametrize("changes", [{"camera": "b"}, {"tags": ()}, {"source": None}, {"attributes": {"a": "2"}}])
def test_an_answer_holds_only_what_passes_the_filter_as_it_is_read(
    gallery: Gallery, changes: dict[str, Any], group_by: Any
) -> None:
    fields: dict[str, Any] = {"camera": "a", "tags": ("van",), "source": "x.jpg", "attributes": {"a": "1"}}
    where = Filter(cameras=("a",), tags=("van",), source="x.jpg", attributes=(("a", "1"),))
    batch = [enrolment(seed, **fields) for seed in range(4)]
    gallery.enrol(batch)
    rest = batch[:1] + batch[2:]
    between_the_steps(gallery, lambda: gallery.update(record(1).id, changes))
    assert ids(gallery.search(vector(1), 3, where, group_by)) == naive(rest, vector(1), 3)
    gallery.update(record(1).id, fields)
    between_the_steps(gallery, lambda: gallery.update(record(1).id, changes))
    assert [one.id for one in gallery.page(where, 9, None).records] == [one.record.id for one in rest]


def test_no_two_records_of_an_answer_by_identity_have_the_same(gallery: Gallery) -> None:
    gallery.enrol([enrolment(seed, identity=f"v{seed}") for seed in range(5)])
    between_the_steps(gallery, lambda: gallery.update(record(2).id, {"identity": "v1"}))
    found = gallery.search(vector(1), 3, EVERYTHING, "identity")
    now = [enrolment(seed, identity=f"v{1 if seed == 2 else seed}") for seed in range(5)]
    assert ids(found) == naive_groups(now, vector(1), 3)


@pytest.fixture
def reads(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often each record was read by a search."""
    records_at, counted = gallery._store.records_at, Counter[int]()

    def counting(seqs: Sequence[int]) -> dict[int, Record]:
        counted.update(seqs)
        return records_at(seqs)

    monkeypatch.setattr(gallery._store, "records_at", counting)
    return counted


@pytest.mark.parametrize("group_by", [None, "identity"])
def test_an_answer_reads_its_own_records_once_and_no_others(
    gallery: Gallery, reads: Counter[int], group_by: Any
) -> None:
    batch = [in_one_frame(seed, identity=f"v{seed % 8}" if seed % 40 else None) for seed in range(300)]
    gallery.enrol(batch)
    gallery.delete(record(5, frame=0, box=batch[5].record.box).id)
    found = gallery.search(vector(1), 12, EVERYTHING, group_by)
    assert len(found.matches) == 12
    assert len(reads) == 12
    assert set(reads.values()) == {1}


def test_a_damaged_record_costs_one_further_read(gallery: Gallery, backend: Backend, reads: Counter[int]) -> None:
    batch = [enrolment(seed, identity=f"v{seed % 4}") for seed in range(12)]
    gallery.enrol(batch)
    backend.damage(2)
    assert ids(gallery.search(vector(1), 4, EVERYTHING, "identity")) == naive_groups(
        batch[:1] + batch[2:], vector(1), 4
    )
    assert set(reads.values()) == {1}
    assert len(reads) == 5
    reads.clear()
    gallery.search(vector(1), 4, EVERYTHING, "identity")
    assert (len(reads), reads[2]) == (4, 0)


def test_what_the_index_holds_and_the_store_does_not_is_found_once_and_dropped(gallery: Gallery) -> None:
    """As after a deletion whose last step, out of the index, failed for want of memory."""
    batch = [enrolment(seed, identity="a") for seed in range(6)]
    gallery.enrol(batch)
    with gallery._store.transaction() as writer:
        writer.delete([2])
    rest = batch[:1] + batch[2:]
    assert gallery.search(vector(1), 1, EVERYTHING, "identity").searched == 5
    found = gallery.search(vector(1), 6, EVERYTHING)
    assert (ids(found), found.searched) == (naive(rest, vector(1), 6), 5)


def test_an_identity_that_changed_unseen_by_the_index_is_in_the_answer_once(gallery: Gallery) -> None:
    batch = [enrolment(seed, identity=f"v{seed}") for seed in range(5)]
    gallery.enrol(batch)
    with gallery._store.transaction() as writer:
        writer.update(record(2, identity="v1"))
    now = [*batch[:2], enrolment(2, identity="v1"), *batch[3:]]
    for top_k in (1, 2, 4, 5):
        assert ids(gallery.search(vector(2), top_k, EVERYTHING, "identity")) == naive_groups(now, vector(2), top_k)


def test_grouping_sees_an_update_at_once(gallery: Gallery) -> None:
    gallery.enrol([enrolment(seed, identity="a") for seed in range(5)])
    for changed in (1, 3):
        gallery.update(record(changed).id, {"identity": f"v{changed}"})
    now = [enrolment(seed, identity=f"v{seed}" if seed in (1, 3) else "a") for seed in range(5)]
    assert ids(gallery.search(vector(0), 9, EVERYTHING, "identity")) == naive_groups(now, vector(0), 9)
    gallery.update(record(3).id, {"identity": None})
    gallery.update(record(0).id, {"identity": "v1"})
    now = [enrolment(seed, identity=["v1", "v1", "a", None, "a"][seed]) for seed in range(5)]
    assert ids(gallery.search(vector(0), 9, EVERYTHING, "identity")) == naive_groups(now, vector(0), 9)
