"""The policy of a gallery, over two backends."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from index.gallery.answers import Enrolled, SearchResult, Stats
from index.gallery.enrolment import Enrolment
from index.gallery.errors import (
    DamagedRecordError,
    GalleryError,
    OtherNumberError,
    RecordNotFoundError,
    ReplacedError,
)
from index.gallery.fields import FieldsError
from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from index.gallery.record import ModelKey
from model.box import Box
from tests.index.gallery.backends import Backend
from tests.index.naive_search import EVERYTHING, assert_is_empty, ids, listed, naive, naive_groups
from tests.index.records import (
    DIM,
    LEFT,
    MODEL,
    OTHER_MODELS,
    RIGHT,
    enrolment,
    image,
    in_one_frame,
    record,
    values,
    vector,
)


def test_what_was_enrolled_is_found_listed_and_given_back(gallery: Gallery) -> None:
    enrolments = [enrolment(seed, identity=f"v{seed % 7}", tags=("van",)) for seed in range(60)]
    expected = [Enrolled(one.record.id, duplicate=False) for one in enrolments]
    assert gallery.enrol(enrolments[:40]) + gallery.enrol(enrolments[40:]) == expected
    assert listed(gallery) == [one.record.id for one in enrolments]
    for one in enrolments:
        assert values(gallery.get(one.record.id)) == values(one.record)
        assert gallery.image(one.record) == one.read_image()
        nearest = gallery.search(one.record.embedding, 1, EVERYTHING)
        assert [(match.record.id, match.distance) for match in nearest.matches] == [(one.record.id, 0.0)]
        assert values(nearest.matches[0].record) == values(one.record)
        assert nearest.searched == 60


def test_enrolling_again_changes_nothing_and_names_the_fields_that_differ(gallery: Gallery) -> None:
    time = datetime(2026, 5, 1, tzinfo=UTC)
    first = enrolment(1, identity="a", camera="north", captured_at=time)
    gallery.enrol([first])
    id_ = first.record.id
    again = enrolment(1, identity="b", camera="north", captured_at=time, tags=("van",))
    assert gallery.enrol([first]) == [Enrolled(id_, duplicate=True)]
    assert gallery.enrol([again, enrolment(2)]) == [
        Enrolled(id_, duplicate=True, differing=("identity", "tags")),
        Enrolled(record(2).id, duplicate=False),
    ]
    assert values(gallery.get(id_)) == values(first.record)
    assert listed(gallery) == [id_, record(2).id]


def test_a_record_that_comes_twice_in_one_batch_is_stored_once(gallery: Gallery) -> None:
    first, second = enrolment(1, identity="a"), enrolment(1, identity="b")
    id_ = first.record.id
    assert gallery.enrol([first, second, first]) == [
        Enrolled(id_, duplicate=False),
        Enrolled(id_, duplicate=True, differing=("identity",)),
        Enrolled(id_, duplicate=True),
    ]
    assert gallery.get(id_).fields.identity == "a"
    assert gallery.search(vector(1), 5, EVERYTHING).searched == 1


def test_an_image_is_read_once_per_content_and_never_for_a_duplicate(gallery: Gallery) -> None:
    read: list[int] = []

    def watched(seed: int, frame: int, box: Box) -> Enrolment:
        def read_image() -> bytes:
            read.append(frame)
            return image(frame)

        return replace(enrolment(seed, frame=frame, box=box), read_image=read_image)

    batch = [watched(1, 1, LEFT), watched(2, 1, RIGHT), watched(3, 3, LEFT), watched(3, 3, LEFT)]
    gallery.enrol(batch)
    assert sorted(read) == [1, 3]
    gallery.enrol([*batch, watched(4, 4, LEFT)])
    assert sorted(read) == [1, 3, 4]


def test_an_image_that_cannot_be_read_stores_nothing(gallery: Gallery) -> None:
    def gone() -> bytes:
        raise FileNotFoundError("frame.png")

    with pytest.raises(FileNotFoundError, match="frame"):
        gallery.enrol([enrolment(1), replace(enrolment(2), read_image=gone)])
    assert_is_empty(gallery)
    gallery.enrol([enrolment(1), enrolment(2)])
    assert [gallery.image(record(seed)) for seed in (1, 2)] == [image(1), image(2)]


def test_an_image_that_changed_since_it_was_embedded_is_refused(gallery: Gallery) -> None:
    with pytest.raises(GalleryError, match="changed since it was embedded"):
        gallery.enrol([replace(enrolment(1), read_image=lambda: image(2))])


def test_enrolling_nothing_gives_nothing(gallery: Gallery) -> None:
    assert gallery.enrol([]) == []
    assert_is_empty(gallery)


def test_known_are_the_records_of_this_model(gallery: Gallery) -> None:
    gallery.enrol([enrolment(1), enrolment(2)])
    known = gallery.known([record(2).id, record(3).id])
    assert {id_: values(one) for id_, one in known.items()} == {record(2).id: values(record(2))}
    assert gallery.known([]) == {}


def test_an_unknown_id_is_said_to_be_unknown(gallery: Gallery) -> None:
    gallery.enrol([enrolment(1)])
    for call in (gallery.get, gallery.delete, lambda id_: gallery.update(id_, {"camera": "a"})):
        with pytest.raises(RecordNotFoundError, match="no record 'nobody'"):
            call("nobody")
    assert listed(gallery) == [record(1).id]


@pytest.mark.parametrize(
    "wrong",
    [
        *(enrolment(2, model=model) for model in OTHER_MODELS),
        enrolment(2, embedding=vector(2, DIM - 1)),
        enrolment(2, embedding=vector(2, DIM + 1)),
        enrolment(2, embedding=vector(2).reshape(1, DIM)),
    ],
    ids=["fingerprint", "precision", "too short", "too long", "two dimensions"],
)
def test_an_embedding_of_another_model_or_size_is_refused_and_nothing_is_stored(
    backend: Backend, wrong: Enrolment
) -> None:
    with closing(backend.open()) as gallery:
        with pytest.raises(GalleryError, match=r"this gallery holds embeddings of|an embedding here is"):
            gallery.enrol([enrolment(1), wrong])
        assert_is_empty(gallery)
    assert backend.images() == set()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_embedding_that_is_not_finite_is_refused_and_nothing_is_stored(backend: Backend, value: float) -> None:
    with closing(backend.open()) as gallery:
        with pytest.raises(GalleryError, match="not finite"):
            gallery.enrol([enrolment(1), enrolment(2, embedding=np.full(DIM, value, np.float32))])
        assert_is_empty(gallery)
    backend.open().close()


# --- reopening


def test_reopening_gives_the_same_answers_bit_for_bit(backend: Backend) -> None:
    queries = [vector(seed) for seed in range(1000, 1010)]

    def answers(gallery: Gallery) -> list[tuple[list[dict[str, object]], list[float], int]]:
        found = [gallery.search(query, 30, EVERYTHING) for query in queries]
        return [
            ([values(match.record) for match in one.matches], [match.distance for match in one.matches], one.searched)
            for one in found
        ]

    with closing(backend.open()) as gallery:
        for start in range(0, 90, 30):
            gallery.enrol([enrolment(seed, camera="north") for seed in range(start, start + 30)])
        gallery.delete(record(7).id)
        gallery.update(record(8).id, {"camera": "south"})
        expected, stats, pages = answers(gallery), gallery.stats(9), listed(gallery)
    with closing(backend.open()) as gallery:
        assert answers(gallery) == expected
        assert gallery.stats(9) == stats
        assert listed(gallery) == pages
        assert [gallery.image(record(seed)) for seed in (0, 89)] == [image(0), image(89)]


def test_more_records_than_are_loaded_at_once_are_all_loaded(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.gallery.gallery._LOAD_CHUNK", 16)
    batch = [in_one_frame(seed) for seed in range(50)]
    with closing(backend.open()) as gallery:
        gallery.enrol(batch)
        assert ids(gallery.search(vector(99), 50, EVERYTHING)) == naive(batch, vector(99), 50)
    with closing(backend.open()) as gallery:
        assert ids(gallery.search(vector(99), 50, EVERYTHING)) == naive(batch, vector(99), 50)


@pytest.mark.parametrize("other", OTHER_MODELS, ids=["fingerprint", "precision"])
def test_embeddings_of_another_model_are_kept_but_never_searched(backend: Backend, other: ModelKey) -> None:
    with closing(backend.open(other)) as gallery:
        gallery.enrol([enrolment(seed, model=other, camera="north") for seed in range(3)])
        assert gallery.num_stale == 0
    with closing(backend.open()) as gallery:
        assert gallery.num_stale == 3
        gallery.enrol([enrolment(7)])
        assert ids(gallery.search(vector(1), 9, EVERYTHING)) == [record(7).id]
        assert gallery.search(vector(1), 9, EVERYTHING).searched == 1
        assert gallery.search(vector(1), 9, Filter(cameras=("north",))) == SearchResult([], 0)
        assert gallery.known([record(1).id, record(7).id]).keys() == {record(7).id}
        assert gallery.get(record(1).id).model == other
        stats = gallery.stats(9)
        assert (stats.total, stats.searchable, stats.damaged) == (4, 1, 0)
        assert stats.models == [(other.fingerprint, other.precision, 3), (MODEL.fingerprint, MODEL.precision, 1)]
        gallery.delete(record(0).id)
        assert gallery.num_stale == 2


@pytest.mark.parametrize("other", OTHER_MODELS, ids=["fingerprint", "precision"])
def test_enrolling_again_replaces_what_another_model_embedded(backend: Backend, other: ModelKey) -> None:
    with closing(backend.open(other)) as gallery:
        gallery.enrol([enrolment(seed, model=other, embedding=vector(seed + 50), camera="c") for seed in range(3)])
    fresh = enrolment(1, identity="new")
    with closing(backend.open()) as gallery:
        differing = ("identity", "camera")
        assert gallery.enrol([fresh]) == [Enrolled(fresh.record.id, duplicate=False, differing=differing)]
        assert gallery.num_stale == 2
        # Embedded anew; what the user had said of it stays.
        kept = replace(fresh.record, fields=record(1, camera="c").fields)
        assert values(gallery.get(fresh.record.id)) == values(kept)
        assert [match.distance for match in gallery.search(vector(1), 9, EVERYTHING).matches] == [0.0]
        gallery.enrol([enrolment(0), enrolment(2)])
        assert gallery.num_stale == 0
        assert sorted(listed(gallery)) == sorted(record(seed).id for seed in range(3))
        assert gallery.image(fresh.record) == fresh.read_image()
    with closing(backend.open()) as gallery:
        assert (gallery.num_stale, gallery.stats(1).searchable) == (0, 3)


# --- damage


def test_a_damaged_record_is_left_out_and_counted(damaged: Gallery) -> None:
    intact = [enrolment(seed) for seed in (0, 1, 3, 4)]
    found = damaged.search(vector(2), 5, EVERYTHING)
    assert ids(found) == naive(intact, vector(2), 5)
    assert found.searched == 4
    stats = damaged.stats(9)
    assert (stats.total, stats.searchable, stats.damaged) == (5, 4, 1)
    assert damaged.num_stale == 0
    with pytest.raises(DamagedRecordError, match=record(2).id):
        damaged.get(record(2).id)
    with pytest.raises(DamagedRecordError):
        damaged.update(record(2).id, {"camera": "north"})
    assert listed(damaged) == [one.record.id for one in intact]


def test_a_damaged_record_can_be_deleted(damaged: Gallery, backend: Backend) -> None:
    damaged.delete(record(2).id)
    assert (damaged.stats(9).total, damaged.stats(9).damaged) == (4, 0)
    assert backend.images() == {record(seed).content for seed in (0, 1, 3, 4)}


def test_a_damaged_record_is_deleted_with_its_identity(damaged: Gallery) -> None:
    assert damaged.delete_passing(Filter(identity="a")).num_records == 3
    assert sorted(listed(damaged)) == sorted(record(seed).id for seed in (3, 4))
    assert damaged.stats(9).damaged == 0


def test_a_damaged_record_can_be_enrolled_again(damaged: Gallery) -> None:
    again = enrolment(2, camera="north")
    assert damaged.enrol([again]) == [Enrolled(again.record.id, duplicate=False)]
    assert values(damaged.get(again.record.id)) == values(again.record)
    everything = [enrolment(seed) for seed in range(5)]
    assert ids(damaged.search(vector(2), 9, EVERYTHING)) == naive(everything, vector(2), 9)
    assert (damaged.stats(9).total, damaged.stats(9).damaged) == (5, 0)


def test_a_record_damaged_while_the_gallery_is_open_is_replaced_by_the_next_nearest(
    gallery: Gallery, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    batch = [enrolment(seed) for seed in range(60)]
    gallery.enrol(batch)
    backend.damage(6)
    with caplog.at_level(logging.ERROR):
        found = gallery.search(vector(5), 3, EVERYTHING)
    assert record(5).id in caplog.text
    assert ids(found) == naive([one for one in batch if one.record.id != record(5).id], vector(5), 3)
    gallery.enrol([enrolment(5)])
    found = gallery.search(vector(5), 3, EVERYTHING)
    assert ids(found) == naive(batch, vector(5), 3)
    assert (found.searched, gallery.stats(0).searchable, gallery.stats(0).damaged) == (60, 60, 0)


def test_damage_found_while_the_gallery_is_open_is_counted_and_logged_once(
    gallery: Gallery, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    gallery.enrol([enrolment(seed) for seed in range(8)])
    for seq in (2, 4, 6):
        backend.damage(seq)
    assert gallery.num_damaged == 0
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            gallery.search(record(1).embedding, 1, EVERYTHING)
            assert gallery.num_damaged == 1
    assert len(caplog.messages) == 1
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            with pytest.raises(DamagedRecordError):
                gallery.get(record(3).id)
    assert gallery.num_damaged == 2
    listed(gallery, 3)
    listed(gallery, 3)
    assert (gallery.stats(1).damaged, len(caplog.messages)) == (3, 3)
    found = gallery.search(vector(1), 8, EVERYTHING)
    assert ids(found) == naive([enrolment(seed) for seed in (0, 2, 4, 6, 7)], vector(1), 8)
    assert found.searched == gallery.num_searchable == 5
    gallery.delete(record(1).id)
    gallery.enrol([enrolment(3)])
    assert gallery.num_damaged == 1


# --- changing and forgetting


FIELDS: dict[str, Any] = {
    "identity": "a",
    "camera": "north",
    "captured_at": datetime(2026, 5, 1, tzinfo=UTC),
    "latitude": 50.0,
    "longitude": 8.0,
    "tags": ("van",),
}


@pytest.mark.parametrize(
    "changes",
    [
        {"identity": "b"},
        {"identity": None},
        {"camera": None, "captured_at": None},
        {"captured_at": datetime(2027, 1, 1, tzinfo=UTC)},
        {"latitude": -1.5, "longitude": 2.25},
        {"latitude": 51.0},
        {"latitude": None, "longitude": None},
        {"tags": ("red", "car")},
        {"tags": ()},
        {},
    ],
)
def test_an_update_changes_only_what_it_names_and_survives_reopening(backend: Backend, changes: dict[str, Any]) -> None:
    before = record(1, **FIELDS)
    expected = values(replace(before, fields=replace(before.fields, **changes)))
    with closing(backend.open()) as gallery:
        gallery.enrol([enrolment(1, **FIELDS), enrolment(2, **FIELDS)])
        assert values(gallery.update(before.id, changes)) == expected
        assert values(gallery.get(before.id)) == expected
        assert ids(gallery.search(vector(1), 1, EVERYTHING)) == [before.id]
    with closing(backend.open()) as gallery:
        assert values(gallery.get(before.id)) == expected
        assert values(gallery.get(record(2).id)) == values(record(2, **FIELDS))
        assert gallery.stats(9).damaged == 0


@pytest.mark.parametrize("changes", [{"latitude": None}, {"longitude": None}, {"captured_at": datetime(2027, 1, 1)}])
def test_an_update_that_contradicts_itself_is_refused(gallery: Gallery, changes: dict[str, Any]) -> None:
    gallery.enrol([enrolment(1, **FIELDS), enrolment(2)])
    with pytest.raises(FieldsError):
        gallery.update(record(1).id, changes)
    with pytest.raises(FieldsError):
        gallery.update(record(2).id, {"latitude": 50.0})
    assert values(gallery.get(record(1).id)) == values(record(1, **FIELDS))
    assert values(gallery.get(record(2).id)) == values(record(2))


def test_the_filters_see_an_update_at_once(gallery: Gallery) -> None:
    gallery.enrol([enrolment(1, identity="a"), enrolment(2, identity="a")])
    gallery.update(record(1).id, {"identity": "b"})
    assert ids(gallery.search(vector(1), 9, Filter(identity="b"))) == [record(1).id]
    assert ids(gallery.search(vector(1), 9, Filter(identity="a"))) == [record(2).id]
    assert gallery.delete_passing(Filter(identity="b")).num_records == 1
    assert listed(gallery) == [record(2).id]


def test_a_deleted_record_is_gone_everywhere_and_can_be_enrolled_again(gallery: Gallery) -> None:
    batch = [enrolment(seed) for seed in range(5)]
    gallery.enrol(batch)
    gallery.delete(record(2).id)
    rest = [one for one in batch if one.record.id != record(2).id]
    assert ids(gallery.search(vector(2), 9, EVERYTHING)) == naive(rest, vector(2), 9)
    assert listed(gallery) == [one.record.id for one in rest]
    assert gallery.known([record(2).id]) == {}
    with pytest.raises(RecordNotFoundError):
        gallery.delete(record(2).id)
    assert gallery.enrol([enrolment(2)]) == [Enrolled(record(2).id, duplicate=False)]
    assert ids(gallery.search(vector(2), 9, EVERYTHING)) == naive(batch, vector(2), 9)
    assert gallery.image(record(2)) == image(2)


def test_deleting_an_identity_says_how_many_went(gallery: Gallery) -> None:
    gallery.enrol([enrolment(seed, identity=[None, "a", "b"][seed % 3]) for seed in range(11)])
    assert gallery.delete_passing(Filter(identity="a")).num_records == 4
    assert gallery.delete_passing(Filter(identity="a")).num_records == 0
    assert gallery.delete_passing(Filter(identity="' OR 1=1 --")).num_records == 0
    assert listed(gallery) == [record(seed).id for seed in range(11) if seed % 3 != 1]
    assert gallery.search(vector(0), 99, EVERYTHING).searched == 7


def test_stats_are_counts(gallery: Gallery) -> None:
    cameras = ["b", "a", None, "a", "c", "b", None, "a"]
    identities = ["x", None, None, "x", "y", None, None, None]
    fields = zip(cameras, identities, strict=True)
    gallery.enrol([
        enrolment(seed, frame=seed // 2, box=(LEFT, RIGHT)[seed % 2], camera=camera, identity=identity)
        for seed, (camera, identity) in enumerate(fields)
    ])  # fmt: skip
    expected = Stats(
        total=8,
        searchable=8,
        damaged=0,
        damaged_images=0,
        stray_images=0,
        index_problems=(),
        num_images=4,
        num_cameras=3,
        num_identities=2,
        cameras=[("a", 3), (None, 2), ("b", 2), ("c", 1)],
        identities=[(None, 5), ("x", 2), ("y", 1)],
        models=[(MODEL.fingerprint, MODEL.precision, 8)],
    )
    assert gallery.stats(10) == expected
    assert gallery.stats(2) == replace(expected, cameras=expected.cameras[:2], identities=expected.identities[:2])
    assert gallery.stats(0) == replace(expected, cameras=[], identities=[])


# --- threads


def test_every_thread_finds_what_it_enrolled_and_not_what_it_deleted(gallery: Gallery) -> None:
    def work(worker: int) -> None:
        for seed in range(1000 * worker, 1000 * worker + 12):
            one = enrolment(seed, camera=str(worker))
            assert gallery.enrol([one]) == [Enrolled(one.record.id, duplicate=False)]
            found = gallery.search(one.record.embedding, 1, EVERYTHING)
            assert [(match.record.id, match.distance) for match in found.matches] == [(one.record.id, 0.0)]
            if seed % 3 == 0:
                gallery.delete(one.record.id)
                assert one.record.id not in ids(
                    gallery.search(one.record.embedding, 100, Filter(cameras=(str(worker),)))
                )

    with ThreadPoolExecutor(4) as pool:
        for worker in [pool.submit(work, worker) for worker in range(1, 5)]:
            worker.result()
    left = [seed for worker in range(1, 5) for seed in range(1000 * worker, 1000 * worker + 12) if seed % 3]
    assert sorted(listed(gallery, 5)) == sorted(record(seed).id for seed in left)
    assert gallery.stats(0).searchable == len(left)
    assert [gallery.image(record(seed)) for seed in left] == [image(seed) for seed in left]


def test_the_same_record_enrolled_by_many_threads_is_stored_once(gallery: Gallery) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = [task.result()[0] for task in [pool.submit(gallery.enrol, [enrolment(1)]) for _ in range(16)]]
    assert sorted(result.duplicate for result in results) == [False] + [True] * 15
    assert gallery.search(vector(1), 9, EVERYTHING).searched == 1


def test_what_failed_to_reach_the_index_is_found_when_it_is_enrolled_again(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(gallery._index, "add", failing)
        with pytest.raises(MemoryError):
            gallery.enrol([enrolment(1)])
    gallery.enrol([enrolment(1)])
    assert ids(gallery.search(vector(1), 9, EVERYTHING)) == [record(1).id]


def test_many_records_are_changed_at_once_and_survive_reopening(backend: Backend) -> None:
    changes: dict[str, Any] = {"identity": "c", "tags": ("new",), "attributes": {"k": "v"}, "captured_at": None}
    batch = [enrolment(seed, **(FIELDS if seed % 2 else {"identity": "a"})) for seed in range(9)]
    changed = [2, 5, 7]
    expected = [
        replace(one.record, fields=replace(one.record.fields, **changes)) if seed in changed else one.record
        for seed, one in enumerate(batch)
    ]
    with closing(backend.open()) as gallery:
        gallery.enrol(batch)
        asked = [record(seed).id for seed in (7, 2, 77, 5, 2)]
        assert gallery.update_many(asked, changes) == [record(seed).id for seed in (7, 2, 5)]
        for where in (Filter(identity="c"), Filter(tags=("new",)), Filter(attributes=(("k", "v"),))):
            assert listed(gallery, where=where) == [record(seed).id for seed in changed]
            assert gallery.search(vector(1), 9, where).searched == 3
        assert listed(gallery, where=Filter(identity="a")) == [
            record(seed).id for seed in range(9) if seed not in changed and expected[seed].fields.identity == "a"
        ]
    with closing(backend.open()) as gallery:
        assert [values(one) for one in gallery.page(EVERYTHING, 99, None).records] == [values(one) for one in expected]
        assert listed(gallery, where=Filter(identity="c")) == [record(seed).id for seed in changed]
        assert gallery.stats(9).damaged == 0


def test_one_identity_becomes_another_and_a_part_of_it_a_third(gallery: Gallery) -> None:
    gallery.enrol([enrolment(seed, identity="ab"[seed % 2]) for seed in range(6)])
    assert gallery.update_passing(Filter(identity="a"), {"identity": "b"}, 3) == 3
    assert gallery.stats(9).identities == [("b", 6)]
    part = Filter(ids=(record(1).id, record(4).id))
    assert gallery.update_passing(part, {"identity": "c"}, 2) == 2
    assert gallery.stats(9).identities == [("b", 4), ("c", 2)]
    assert gallery.update_passing(Filter(identity="a"), {"identity": "b"}, 0) == 0


@pytest.mark.parametrize("expected", [0, 2, 4])
def test_another_number_than_expected_changes_and_deletes_nothing(gallery: Gallery, expected: int) -> None:
    gallery.enrol([enrolment(seed, identity="ab"[seed % 2]) for seed in range(6)])
    before = [values(one) for one in gallery.page(EVERYTHING, 99, None).records]
    said = f"{expected} records were expected to pass the conditions, and 3 do"
    with pytest.raises(OtherNumberError, match=said):
        gallery.update_passing(Filter(identity="a"), {"identity": "b"}, expected)
    with pytest.raises(OtherNumberError, match=said):
        gallery.delete_passing(Filter(identity="a"), expected)
    assert [values(one) for one in gallery.page(EVERYTHING, 99, None).records] == before
    assert gallery.delete_passing(Filter(identity="a"), 3).num_records == 3


def test_fields_that_contradict_those_of_one_record_change_none(gallery: Gallery) -> None:
    gallery.enrol([enrolment(1, **FIELDS), enrolment(2, identity="a")])
    with pytest.raises(FieldsError, match=f"the record {record(2).id}: latitude and longitude come together"):
        gallery.update_passing(Filter(identity="a"), {"latitude": 1.0}, 2)
    with pytest.raises(FieldsError, match="there is no field colour"):
        gallery.update_many([record(1).id], {"colour": "red"})
    assert values(gallery.get(record(1).id)) == values(record(1, **FIELDS))


def test_a_damaged_record_among_many_is_not_changed(damaged: Gallery) -> None:
    with pytest.raises(DamagedRecordError, match="1 of the records are damaged and cannot be changed"):
        damaged.update_passing(Filter(identity="a"), {"identity": "c"}, 3)
    assert damaged.get(record(0).id).fields.identity == "a"
    found = damaged.update_many([record(seed).id for seed in range(5)], {"identity": "c"})
    assert found == [record(seed).id for seed in (0, 1, 3, 4)]


def test_the_ids_of_a_filter_are_any_of_them_and_other_than_is_all_but_one(gallery: Gallery) -> None:
    batch = [enrolment(seed, identity="ab"[seed % 2]) for seed in range(6)]
    gallery.enrol(batch)
    wanted = Filter(ids=(record(4).id, record(1).id, "0" * 32, "x", record(2).id + "0"))
    assert listed(gallery, where=wanted) == [record(1).id, record(4).id]
    assert ids(gallery.search(vector(9), 9, wanted)) == naive([batch[1], batch[4]], vector(9), 9)
    assert listed(gallery, where=replace(wanted, identity="a")) == [record(4).id]
    found = gallery.search(vector(3), 9, Filter(other_than=record(3).id))
    assert (ids(found), found.searched) == (naive([*batch[:3], *batch[4:]], vector(3), 9), 5)
    grouped = gallery.search(vector(3), 9, Filter(other_than=record(3).id), "identity")
    assert ids(grouped) == naive_groups([*batch[:3], *batch[4:]], vector(3), 9)


def test_many_searches_are_answered_as_each_by_itself(gallery: Gallery) -> None:
    gallery.enrol([enrolment(seed, identity=f"v{seed % 4}") for seed in range(90)])
    queries = np.stack([vector(1000 + seed) for seed in range(70)])
    for where, group_by in ((EVERYTHING, None), (Filter(identity="v1"), None), (EVERYTHING, "identity")):
        found = list(gallery.search_many(queries, 5, where, group_by))  # type: ignore[arg-type]
        alone = [gallery.search(query, 5, where, group_by) for query in queries]  # type: ignore[arg-type]
        assert [(ids(one), one.searched) for one in found] == [(ids(one), one.searched) for one in alone]
    assert list(gallery.search_many(queries[:0], 5, EVERYTHING)) == []


# --- another model takes over


def test_records_of_other_models_are_read_in_order_and_embedded_in_place(backend: Backend) -> None:
    other = OTHER_MODELS[0]
    with closing(backend.open(other)) as gallery:
        gallery.enrol([enrolment(seed, model=other, camera="north") for seed in range(100)])
    with closing(backend.open()) as gallery:
        gallery.enrol([enrolment(200)])
        stale = list(gallery.stale_records(0))
        assert [found.id for _, found in stale] == [record(seed).id for seed in range(100)]
        seqs = [seq for seq, _ in stale]
        assert seqs == sorted(set(seqs))
        assert [found.id for _, found in gallery.stale_records(seqs[97])] == [record(98).id, record(99).id]
        gallery.delete(record(1).id)
        gallery.update(record(2).id, {"camera": "south"})
        gallery.enrol([enrolment(3, camera="by hand")])
        anew = [replace(found, model=MODEL, embedding=vector(1000 + seed)) for seed, (_, found) in enumerate(stale[:5])]
        gallery.replace_embeddings(anew)
        gallery.replace_embeddings(anew)  # as after an interruption
        assert gallery.num_stale == 95
        with pytest.raises(RecordNotFoundError):
            gallery.get(record(1).id)
        assert gallery.get(record(2).id).fields.camera == "south"
        assert gallery.get(record(0).id).embedding.tolist() == vector(1000).tolist()
        assert gallery.get(record(3).id).embedding.tolist() == vector(3).tolist()  # which came first
        found = gallery.search(vector(1002), 9, EVERYTHING)
        assert (found.matches[0].record.id, found.searched) == (record(2).id, 5)
        assert ids(gallery.search(vector(1002), 9, Filter(cameras=("south",)))) == [record(2).id]
        with pytest.raises(GalleryError, match="holds embeddings of"):
            gallery.replace_embeddings([record(4, model=other)])


def test_a_gallery_that_was_replaced_reads_on_and_writes_no_more(backend: Backend) -> None:
    with closing(backend.open()) as gallery:
        gallery.enrol([enrolment(seed) for seed in range(3)])
        with pytest.raises(ZeroDivisionError), gallery.replacing():
            raise ZeroDivisionError
        gallery.update(record(1).id, {"camera": "north"})  # for it was not
        with gallery.replacing():
            assert ids(gallery.search(vector(1), 9, EVERYTHING))[0] == record(1).id
        writes: list[Callable[[], object]] = [
            lambda: gallery.enrol([enrolment(7)]),
            lambda: gallery.update(record(1).id, {"camera": "south"}),
            lambda: gallery.update_many([record(1).id], {"camera": "south"}),
            lambda: gallery.update_passing(Filter(cameras=("north",)), {"camera": "south"}, 1),
            lambda: gallery.delete(record(1).id),
            lambda: gallery.delete_passing(Filter(cameras=("north",)), 1),
            lambda: gallery.undo("0"),
            lambda: gallery.empty_trash(timedelta(0)),
            lambda: gallery.replace_embeddings([record(1)]),
        ]
        for write in writes:
            with pytest.raises(ReplacedError):
                write()
        assert ids(gallery.search(vector(1), 9, EVERYTHING))[0] == record(1).id
        assert gallery.get(record(1).id).fields.camera == "north"
        assert gallery.image(record(1)) == image(1)
        assert gallery.page(EVERYTHING, 9, None).total == 3
