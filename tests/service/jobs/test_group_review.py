from pathlib import Path
from typing import Any

import pytest

from index.gallery.gallery import Gallery
from service.jobs.errors import GroupNotFoundError, GroupOutdatedError, GroupReviewedError, NotInGroupError
from service.jobs.group_review import GroupPage, GroupPart, Reviewed, page_of_groups, parts_of, review_group
from service.jobs.group_store import GroupStore, Review
from service.jobs.job import Job
from service.jobs.opening import open_job_store
from service.jobs.proposed_group import COLUMNS, Member, ProposedGroup, read_groups
from service.jobs.results_csv import csv_bytes
from tests.index.gallery.backends import MemoryBackend
from tests.index.records import enrolment, record


@pytest.fixture
def gallery() -> Gallery:
    gallery = MemoryBackend().open()
    gallery.enrol([enrolment(seed) for seed in range(9)])
    return gallery


class Reviewing:
    """A job with proposals, and its gallery."""

    def __init__(self, folder: Path, gallery: Gallery) -> None:
        self.ids = [record(seed).id for seed in range(9)]
        self.path = folder / "groups.csv"
        lines: list[list[Any]] = [[1, self.ids[seed], None, 0.5, None, None, None] for seed in range(4)]
        lines += [[2, self.ids[seed], "=known" if seed == 4 else None, 0.25, None, None, None] for seed in (4, 5)]
        lines += [[3, self.ids[seed], "done", 0.25, None, None, None] for seed in (6, 7)]
        lines += [[4, self.ids[8], None, None, None, None, None]]
        self.path.write_bytes(csv_bytes([COLUMNS, *lines]))
        self.gallery = gallery
        self.folder = folder
        self.open()
        self.job: Job = self.jobs.create("group", {"kind": "group"})

    def open(self) -> None:
        """As after a start of the service."""
        self.jobs = open_job_store(self.folder)
        self.store = GroupStore(self.jobs.tables)

    def review(self, number: int, identity: str | None, *seeds: int) -> Reviewed:
        records = [self.ids[seed] for seed in seeds] if seeds else None
        return review_group(self.path, self.job, number, self.store, self.gallery, identity, records)

    def page(self, **given: Any) -> GroupPage:
        return page_of_groups(self.path, self.job, self.store, **({"limit": 50, "after": 0, "state": None} | given))

    def states(self) -> list[tuple[int, str, str | None, list[int]]]:
        """Number, state, identity and seeds of each part."""
        return [
            (part.number, part.state, part.identity, [self.ids.index(member.id) for member in part.members])
            for part in self.page().parts
        ]

    def identities(self) -> list[str | None]:
        return [self.gallery.get(id_).fields.identity for id_ in self.ids]


@pytest.fixture
def reviewing(tmp_path: Path, gallery: Gallery) -> Reviewing:
    return Reviewing(tmp_path, gallery)


def test_only_groups_that_somebody_may_name_are_read(reviewing: Reviewing) -> None:
    ids = reviewing.ids
    assert list(read_groups(reviewing.path)) == [
        ProposedGroup(1, None, [Member(id_, 0.5) for id_ in ids[:4]]),
        ProposedGroup(2, "=known", [Member(ids[4], 0.25, "=known"), Member(ids[5], 0.25)]),
    ]


def test_accepting_names_all_records_once(reviewing: Reviewing) -> None:
    ids = reviewing.ids
    reviewed = reviewing.review(1, "car")
    assert (reviewed.part.state, reviewed.part.identity) == ("accepted", "car")
    assert (reviewed.changed, reviewed.gone) == (ids[:4], [])
    assert reviewing.identities() == ["car"] * 4 + [None] * 5
    assert reviewing.states() == [(1, "accepted", "car", [0, 1, 2, 3]), (2, "proposed", "=known", [4, 5])]
    # Again, also after a start, it changes nothing: not even what somebody has changed since.
    reviewing.gallery.update(ids[0], {"identity": "other"})
    reviewing.open()
    assert reviewing.review(1, "car") == reviewed
    assert reviewing.identities()[0] == "other"
    assert len(reviewing.store.reviews(reviewing.job)[1]) == 1


def test_a_part_is_accepted_and_the_rest_stays(reviewing: Reviewing) -> None:
    first = reviewing.review(1, "a", 2, 0)
    assert first.changed == [reviewing.ids[0], reviewing.ids[2]]
    assert reviewing.states()[:2] == [(1, "proposed", None, [1, 3]), (1, "accepted", "a", [0, 2])]
    assert reviewing.review(1, "a", 0) == Reviewed(
        GroupPart(1, "accepted", "a", [Member(reviewing.ids[0], 0.5)]), [reviewing.ids[0]], []
    )
    # The same name for more of it, and another for the rest.
    assert reviewing.review(1, "a", 0, 1).changed == [reviewing.ids[0], reviewing.ids[1]]
    assert reviewing.review(1, "b").changed == [reviewing.ids[3]]
    assert reviewing.identities()[:4] == ["a", "a", "a", "b"]
    assert reviewing.states()[:2] == [(1, "accepted", "a", [0, 2, 1]), (1, "accepted", "b", [3])]
    for identity, seeds in (("a", [0, 3]), ("b", [0]), ("c", []), (None, [])):
        with pytest.raises(GroupReviewedError, match="2 as 'a', 1 as 'a', 1 as 'b'"):
            reviewing.review(1, identity, *seeds)
    assert reviewing.review(1, "b").changed == [reviewing.ids[3]]  # what was sent before may be sent again
    assert reviewing.identities()[:4] == ["a", "a", "a", "b"]


def test_a_refused_group_changes_nothing(reviewing: Reviewing) -> None:
    for _ in range(2):
        reviewed = reviewing.review(2, None)
        assert (reviewed.part.state, reviewed.part.identity) == ("refused", None)
        assert (reviewed.changed, reviewed.gone) == ([], [])
    assert reviewing.states()[1:] == [(2, "refused", None, [4, 5])]
    with pytest.raises(GroupReviewedError, match=r"2 refused"):
        reviewing.review(2, "car")
    with pytest.raises(GroupReviewedError):
        reviewing.review(2, "car", 4)
    # What is left of a group may be refused, too.
    reviewing.review(1, "a", 1)
    reviewing.review(1, None)
    assert reviewing.states()[:2] == [(1, "accepted", "a", [1]), (1, "refused", None, [0, 2, 3])]
    assert reviewing.identities() == [None, "a"] + [None] * 7


def test_an_identity_given_since_is_not_overwritten(reviewing: Reviewing) -> None:
    ids, gallery = reviewing.ids, reviewing.gallery
    gallery.update(ids[1], {"identity": "seen by eye"})
    gallery.update(ids[4], {"identity": "other"})
    for number, identity in ((1, "car"), (2, "car"), (2, "=known")):
        with pytest.raises(GroupOutdatedError, match=r"is 'seen by eye'|is 'other' since the group was proposed"):
            reviewing.review(number, identity)
    assert reviewing.identities()[:6] == [None, "seen by eye", None, None, "other", None]
    assert {state for _, state, *_ in reviewing.states()} == {"proposed"}
    # Without it, with its own name, and refused.
    assert reviewing.review(1, "car", 0, 2).changed == [ids[0], ids[2]]
    assert reviewing.review(1, "seen by eye").changed == [ids[1], ids[3]]
    assert reviewing.review(2, None).part.state == "refused"
    assert reviewing.identities()[:6] == ["car", "seen by eye", "car", "seen by eye", "other", None]


def test_an_identity_that_the_job_knew_may_be_changed_or_cleared(reviewing: Reviewing) -> None:
    reviewing.gallery.update(reviewing.ids[4], {"identity": "=known"})
    assert reviewing.review(2, "car").changed == reviewing.ids[4:6]


def test_deleted_records_are_named(reviewing: Reviewing) -> None:
    reviewing.gallery.delete(reviewing.ids[1])
    first = reviewing.review(1, "car")
    assert (first.changed, first.gone) == ([reviewing.ids[seed] for seed in (0, 2, 3)], [reviewing.ids[1]])
    assert reviewing.review(1, "car") == first
    assert reviewing.states()[0] == (1, "accepted", "car", [0, 1, 2, 3])
    for seed in (4, 5):
        reviewing.gallery.delete(reviewing.ids[seed])
    assert reviewing.review(2, "x").gone == reviewing.ids[4:6]


@pytest.mark.parametrize("number", [0, 3, 4, 5, -1, 10**18])
def test_there_is_no_such_group(reviewing: Reviewing, number: int) -> None:
    with pytest.raises(GroupNotFoundError, match=f"no group {number} to review"):
        reviewing.review(number, "x")


def test_records_of_another_group_are_refused(reviewing: Reviewing) -> None:
    with pytest.raises(NotInGroupError, match=rf"'{reviewing.ids[4]}' are not in the group 1"):
        reviewing.review(1, "x", 0, 4)
    with pytest.raises(NotInGroupError, match=r"and 1 more are not in the group 1"):
        reviewing.review(1, "x", 0, 4, 8)
    assert reviewing.identities() == [None] * 9
    assert reviewing.states() == [(1, "proposed", None, [0, 1, 2, 3]), (2, "proposed", "=known", [4, 5])]


def test_a_review_that_was_interrupted_before_it_was_stored_is_done_again(
    reviewing: Reviewing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("the process ends here")

    with monkeypatch.context() as patch:
        patch.setattr(GroupStore, "add", fail)
        with pytest.raises(OSError, match="ends here"):
            reviewing.review(1, "car")
    assert reviewing.identities()[:4] == ["car"] * 4
    assert reviewing.states()[0][1] == "proposed"
    assert reviewing.review(1, "car").changed == reviewing.ids[:4]
    assert reviewing.states()[0][1] == "accepted"


def test_pages_and_states(tmp_path: Path, gallery: Gallery) -> None:
    reviewing = Reviewing(tmp_path, gallery)
    ids = reviewing.ids
    # Four groups of two; 2 is split.
    lines = [[1 + seed // 2, ids[seed], None, 1.0, None, None, None] for seed in range(8)]
    reviewing.path.write_bytes(csv_bytes([COLUMNS, *lines]))
    reviewing.review(2, "x", 2)
    reviewing.review(3, "y")
    reviewing.review(4, None)

    def pages(state: str | None, limit: int) -> list[list[tuple[int, str]]]:
        found: list[list[tuple[int, str]]] = []
        after = 0
        while True:
            page = reviewing.page(limit=limit, after=after, state=state)
            found.append([(part.number, part.state) for part in page.parts])
            assert page.total == {None: 4, "proposed": 2, "accepted": 2, "refused": 1}[state]
            if page.next_cursor is None:
                return found
            after = int(page.next_cursor)

    split = [(2, "proposed"), (2, "accepted")]
    assert pages(None, 1) == [[(1, "proposed")], split, [(3, "accepted")], [(4, "refused")]]
    assert pages(None, 3) == [[(1, "proposed"), *split, (3, "accepted")], [(4, "refused")]]
    assert pages("proposed", 1) == [[(1, "proposed")], [(2, "proposed")]]
    assert pages("proposed", 2) == [[(1, "proposed"), (2, "proposed")]]
    assert pages("accepted", 1) == [[(2, "accepted")], [(3, "accepted")]]
    assert pages("refused", 5) == [[(4, "refused")]]


def test_reviews_belong_to_their_job(reviewing: Reviewing) -> None:
    other = reviewing.jobs.create("group", {"kind": "group"})
    review = Review("accept", "ü", ["a", "b"], ["a"])
    reviewing.store.add(reviewing.job, 7, review)
    reviewing.store.add(reviewing.job, 7, Review("refuse", None, ["c"], []))
    reviewing.open()
    assert reviewing.store.reviews(reviewing.job) == {7: [review, Review("refuse", None, ["c"], [])]}
    assert reviewing.store.reviews(other) == {}


def test_parts_keep_the_order_of_what_was_decided() -> None:
    members = [Member(letter, 1.0) for letter in "abcde"]
    group = ProposedGroup(5, "known", members)
    accept, refuse = Review("accept", "x", ["d", "b"], []), Review("refuse", None, ["a"], [])
    assert parts_of(group, []) == [GroupPart(5, "proposed", "known", members)]
    assert parts_of(group, [accept, refuse]) == [
        GroupPart(5, "proposed", "known", [members[2], members[4]]),
        GroupPart(5, "accepted", "x", [members[3], members[1]]),
        GroupPart(5, "refused", None, [members[0]]),
    ]
