from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from index.gallery.record import Record
from index.gallery.search_others import search_others
from model.box import Box
from tests.index.gallery.backends import MemoryBackend
from tests.index.records import enrolment, record


def naive(
    query: Record, records: list[Record], top_k: int, where: Filter, *, grouped: bool, of_other_images: bool
) -> list[tuple[str, float]]:
    candidates = []
    for other in records:
        if other.id == query.id or (of_other_images and other.content == query.content) or not where.matches(other):
            continue
        distance = float(np.sqrt(((other.embedding.astype(float) - query.embedding.astype(float)) ** 2).sum()))
        candidates.append((distance, other.id, other.fields.identity))
    chosen = []
    identities = set()
    for distance, id_, identity in sorted(candidates, key=lambda candidate: candidate[:2]):
        if not grouped or identity is None or identity not in identities:
            chosen.append((id_, distance))
        identities.add(identity)
    return chosen[:top_k]


def assert_found(gallery: Gallery, records: list[Record], query: Record, top_k: int, where: Filter) -> None:
    for of_other_images in (False, True):
        for group_by in (None, "identity"):
            wanted = naive(query, records, top_k, where, grouped=group_by is not None, of_other_images=of_other_images)
            found = search_others(gallery, query, top_k, where, group_by, of_other_images=of_other_images)
            matches = found.matches
            num_counting = len(naive(query, records, 10**6, where, grouped=False, of_other_images=of_other_images))
            # Those that do not count are left out as far as they were seen.
            assert num_counting <= found.searched <= sum(map(where.matches, records))
            assert [match.record.id for match in matches] == [id_ for id_, _ in wanted]
            assert [match.distance for match in matches] == pytest.approx([distance for _, distance in wanted])


@given(st.data())
def test_it_is_what_looking_at_every_record_finds(data: st.DataObject) -> None:
    """Many vehicles in few frames, so that whole frames are nearest; identities in several of them."""
    gallery = MemoryBackend().open()
    num = data.draw(st.integers(1, 25))
    rows = st.tuples(st.integers(0, 3), st.sampled_from([None, "a", "b", "c"]), st.sampled_from(["x", "y"]))
    records = []
    for seed, (frame, identity, camera) in enumerate(data.draw(st.lists(rows, min_size=num, max_size=num))):
        embedding = np.zeros(16, np.float32)
        embedding[:2] = data.draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
        settings: dict[str, Any] = {"identity": identity, "camera": camera, "embedding": embedding}
        gallery.enrol([enrolment(seed, frame=frame, box=Box(seed, 0, 10, 10), **settings)])
        records.append(record(seed, frame=frame, box=Box(seed, 0, 10, 10), **settings))
    query = data.draw(st.sampled_from(records))
    where = data.draw(st.sampled_from([Filter(), Filter(cameras=("x",)), Filter(identity="a")]))
    assert_found(gallery, records, query, data.draw(st.sampled_from([1, 2, 5, 100])), where)


def test_a_query_that_is_not_in_the_gallery(gallery: Gallery) -> None:
    gallery.enrol([enrolment(seed, identity="ab"[seed % 2]) for seed in range(6)])
    records = [record(seed, identity="ab"[seed % 2]) for seed in range(6)]
    assert_found(gallery, records, record(99), 4, Filter())


def test_hundreds_of_vehicles_of_the_querys_frame_hide_nothing(gallery: Gallery) -> None:
    near = [np.full(16, seed / 1000, np.float32) for seed in range(300)]
    far = np.full(16, 9, np.float32)
    gallery.enrol(
        [
            *(
                enrolment(seed, frame=0, box=Box(seed, 0, 9, 9), embedding=embedding, identity=f"v{seed % 5}")
                for seed, embedding in enumerate(near)
            ),
            enrolment(500, embedding=far, identity="v3"),
            enrolment(501, embedding=far + 1),
        ]
    )
    query = record(0, frame=0, box=Box(0, 0, 9, 9), embedding=near[0], identity="v0")
    for group_by in (None, "identity"):
        matches = search_others(gallery, query, 2, Filter(), group_by, of_other_images=True).matches
        assert [match.record.id for match in matches] == [record(500).id, record(501).id]
