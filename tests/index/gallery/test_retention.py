"""What a retention rule lets go of, over two backends, against `Expired.includes` record by record."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from index.gallery.enrolment import Enrolment
from index.gallery.errors import RecordNotFoundError
from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from index.gallery.retention import Expired, Retention, RetentionError
from tests.index.gallery.backends import Backend
from tests.index.naive_search import EVERYTHING, ids, listed, naive
from tests.index.records import LEFT, RIGHT, enrolment, vector

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("90d", Retention(90)),
        (" camera gate-3:30d ;90d", Retention(90, {"gate-3": 30})),
        ("camera a:b : 3d; camera 30d: 3d", Retention(None, {"a:b": 3, "30d": 3})),
        ("1d; camera Zoe\u0301: keep; trash: 7d", Retention(1, {"Zo\u00e9": None}, 7)),
        ("camera trash: 2d", Retention(None, {"trash": 2})),
        ("keep", Retention()),
    ],
)
def test_a_rule_is_read_from_its_text(text: str, rule: Retention) -> None:
    assert Retention.parse(text) == rule


@pytest.mark.parametrize(
    "text",
    [
        "",
        "90",
        "0d",
        "-1d",
        "1.5d",
        "\u0663d",
        "90d;",
        "90d 30d",
        "d",
        "camera: 3d",
        "camera : 3d",
        "camera a 3d",
        "999999d",
    ],
)
def test_a_rule_that_cannot_be_understood_is_refused(text: str) -> None:
    with pytest.raises(RetentionError, match="expected parts such as 90d, camera gate-3: 30d"):
        Retention.parse(text)


@pytest.mark.parametrize("text", ["90d; 90d", "keep; 3d", "camera a: 3d; camera  a : keep", "trash: 1d; trash: 2d"])
def test_a_rule_that_says_two_things_is_refused(text: str) -> None:
    with pytest.raises(RetentionError, match="once more"):
        Retention.parse(text)


def captured(seed: int, captured_at: datetime, **changes: Any) -> Enrolment:
    """Captured at a time, and enrolled now."""
    made = enrolment(seed, captured_at=captured_at, **changes)
    return replace(made, record=replace(made.record, enrolled_at=NOW))


BATCH = [
    captured(1, NOW - 91 * DAY, camera="north"),
    captured(2, NOW - 89 * DAY, camera="north"),
    captured(3, NOW - 31 * DAY, camera="gate", frame=30, box=LEFT),
    captured(4, NOW - 29 * DAY, camera="gate", frame=30, box=RIGHT),
    captured(5, NOW - 900 * DAY, camera="archive"),
    captured(6, NOW - 90 * DAY),  # to the day: it is kept for 90 days, and no longer
    captured(7, NOW - 90 * DAY - timedelta(microseconds=1)),
    enrolment(8, camera="gate"),  # enrolled on 1 May
    enrolment(9),
    enrolment(10, captured_at=NOW + 3650 * DAY),  # by a camera whose clock runs ahead
]
RULES = [
    "90d",
    "30d; camera gate: 90d",
    "camera gate: 30d",
    "90d; camera gate: 30d; camera archive: keep",
    "keep",
    "9999d",
]


@pytest.fixture
def gallery(backend: Backend) -> Iterator[Gallery]:
    with closing(backend.open(undo_for=DAY)) as gallery:
        gallery.enrol(BATCH)
        yield gallery


def expired_by(rule: str) -> Expired:
    return Retention.parse(rule).at(NOW)


def test_what_a_rule_means() -> None:
    expired = expired_by("90d; camera gate: 30d; camera archive: keep")
    assert [seed for seed, one in enumerate(BATCH, start=1) if expired.includes(one.record)] == [1, 3, 7, 8, 9, 10]


@pytest.mark.parametrize("rule", RULES)
def test_exactly_what_is_too_old_goes(gallery: Gallery, rule: str) -> None:
    expired = expired_by(rule)
    old = [one.record for one in BATCH if expired.includes(one.record)]
    kept = [one for one in BATCH if not expired.includes(one.record)]
    assert gallery.count_expired(expired) == Counter(record.fields.camera for record in old)
    gone, after = [], 0
    while batch := gallery.delete_expired(expired, after, 2):
        assert len(batch) <= 2
        gone += [record.id for record in batch]
        after = batch[-1].seq
    assert gone == [record.id for record in old]
    assert listed(gallery) == [one.record.id for one in kept]
    assert ids(gallery.search(vector(1), 20, EVERYTHING)) == naive(kept, vector(1), 20)
    assert gallery.count_expired(expired) == {}
    stats = gallery.stats(9)
    assert (stats.total, stats.stray_images) == (len(kept), 0)
    assert stats.num_images == len({one.record.content for one in kept})
    for one in kept:
        assert gallery.image(gallery.get(one.record.id))


def test_it_is_final_although_other_deletions_can_be_undone(gallery: Gallery) -> None:
    by_hand = gallery.delete_passing(Filter(cameras=("archive",)))
    assert gallery.delete_expired(expired_by("90d"), 0, 100)
    assert gallery.deletions() == [by_hand]
    with pytest.raises(RecordNotFoundError):
        gallery.get(BATCH[0].record.id)
    gallery.undo(by_hand.id)
    assert BATCH[4].record.id in listed(gallery)
    # It is as old as before.
    assert [record.id for record in gallery.delete_expired(expired_by("90d"), 0, 100)] == [BATCH[4].record.id]


def test_its_images_go_to_the_trash_and_from_there(gallery: Gallery) -> None:
    gone = gallery.delete_expired(expired_by("90d"), 0, 100)
    assert gallery.empty_trash(timedelta(0)) == len({record.content for record in gone})
