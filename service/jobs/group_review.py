"""The groups that a job proposes, and what people make of them: identities of records, or nothing."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from index.gallery.errors import DamagedRecordError, RecordNotFoundError
from index.gallery.gallery import Gallery
from service.jobs.errors import GroupNotFoundError, GroupOutdatedError, GroupReviewedError, NotInGroupError
from service.jobs.group_store import GroupStore, Review
from service.jobs.job import Job
from service.jobs.proposed_group import Member, ProposedGroup, read_groups

GroupState = Literal["proposed", "accepted", "refused"]


@dataclass(frozen=True)
class GroupPart:
    """A group, or those of its records that have the same state and identity.

    Attributes:
        identity: proposed: of those records that had one; accepted: what they were given.
    """

    number: int
    state: GroupState
    identity: str | None
    members: list[Member]


@dataclass(frozen=True)
class GroupPage:
    """Some groups by rising number; `next_cursor` is None on the last page, `total` counts all pages."""

    parts: list[GroupPart]
    next_cursor: str | None
    total: int


@dataclass(frozen=True)
class Reviewed:
    """What became of a review: the ids that have the identity since, and those of records that were gone."""

    part: GroupPart
    changed: list[str]
    gone: list[str]


def page_of_groups(
    path: Path, job: Job, store: GroupStore, limit: int, after: int, state: GroupState | None
) -> GroupPage:
    """At most `limit` groups with a number above `after`; with a `state`, only those parts of groups.

    Args:
        path: of the job's CSV.
        job: whose groups they are.
        store: what was decided so far.
        limit: at least 1.
        after: the last number of the page before; 0 for the first.
        state: None for all.
    """
    reviews = store.reviews(job)
    shown: list[GroupPart] = []
    numbers: list[int] = []
    total = 0
    for group in read_groups(path):
        parts = [part for part in parts_of(group, reviews.get(group.number, [])) if state in (None, part.state)]
        total += bool(parts)
        if parts and group.number > after:
            numbers.append(group.number)
            if len(numbers) <= limit:
                shown += parts
    return GroupPage(shown, str(numbers[limit - 1]) if len(numbers) > limit else None, total)


def review_group(
    path: Path,
    job: Job,
    number: int,
    store: GroupStore,
    gallery: Gallery,
    identity: str | None,
    records: Sequence[str] | None,
) -> Reviewed:
    """Gives records of a group an identity, or refuses what is left of it (None); durable when this returns.

    The records change first, all at one moment, and the review is stored then: one that was interrupted in between is
    still proposed, and doing it again comes to the same. So does what was decided already, which changes nothing more.
    To be called by one thread at a time.

    Args:
        path: of the job's CSV.
        job: whose group it is.
        number: of the group.
        store: what was decided so far.
        gallery: which has the records.
        identity: their name from now on; None refuses.
        records: their ids; None for all that are still proposed.

    Raises:
        GroupNotFoundError: the job has no such group.
        NotInGroupError: records that are not in it.
        GroupReviewedError: it was decided otherwise before; nothing was changed.
        GroupOutdatedError: records have another identity since it was proposed; nothing was changed.
        JobStoreError: the disk refuses the review; sent again, it is done.
    """
    group = next((group for group in read_groups(path) if group.number == number), None)
    if group is None:
        raise GroupNotFoundError(f"the job {job.id} has no group {number} to review: GET /jobs/{job.id}/groups has all")
    earlier = store.reviews(job).get(number, [])
    same = [review for review in earlier if review.identity == identity]
    decided = {id_ for review in same for id_ in review.records}
    still_open = {member.id for part in parts_of(group, earlier) if part.state == "proposed" for member in part.members}
    asked = set(records) if records is not None else still_open or decided
    _require_members(group, asked)
    if not asked or not asked <= still_open | decided:
        raise GroupReviewedError(
            f"the group {number} was reviewed otherwise before ({_summary(earlier)}): nothing was changed; PATCH "
            "/gallery/{id} changes a record"
        )
    members = [member for member in group.members if member.id in asked]
    fresh = [member.id for member in members if member.id in still_open]
    changed = {id_ for review in same for id_ in review.changed}
    if fresh:
        if identity is not None:
            _require_unchanged([member for member in members if member.id in still_open], identity, gallery)
        now_changed = [] if identity is None else gallery.update_many(fresh, {"identity": identity})
        store.add(job, number, Review("refuse" if identity is None else "accept", identity, fresh, now_changed))
        changed.update(now_changed)
    part = GroupPart(number, "refused" if identity is None else "accepted", identity, members)
    ids = [member.id for member in members if identity is not None]
    return Reviewed(part, [id_ for id_ in ids if id_ in changed], [id_ for id_ in ids if id_ not in changed])


def parts_of(group: ProposedGroup, reviews: Iterable[Review]) -> list[GroupPart]:
    """The group as its reviews have split it: what is still proposed first, then what was decided, in this order."""
    undecided = {member.id: member for member in group.members}
    members_by_identity: dict[str | None, list[Member]] = defaultdict(list)
    for review in reviews:
        members_by_identity[review.identity] += [undecided.pop(id_) for id_ in review.records]
    parts = [GroupPart(group.number, "proposed", group.identity, list(undecided.values()))] if undecided else []
    for identity, members in members_by_identity.items():
        parts.append(GroupPart(group.number, "refused" if identity is None else "accepted", identity, members))
    return parts


def _require_members(group: ProposedGroup, asked: Iterable[str]) -> None:
    strangers = sorted(set(asked) - {member.id for member in group.members})
    if strangers:
        more = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
        raise NotInGroupError(
            f"records: {strangers[0]!r}{more} are not in the group {group.number}: nothing was changed"
        )


def _require_unchanged(members: Iterable[Member], identity: str, gallery: Gallery) -> None:
    """What somebody has found out since about a record is not overwritten by what a job proposed before."""
    for member in members:
        with suppress(RecordNotFoundError, DamagedRecordError):
            current = gallery.get(member.id).fields.identity
            if current not in (None, identity, member.identity):
                raise GroupOutdatedError(
                    f"the record {member.id} is {current!r} since the group was proposed, and not {identity!r}: "
                    "nothing was changed; name the other `records`, or PATCH /gallery/{id} first"
                )


def _summary(reviews: Iterable[Review]) -> str:
    return ", ".join(
        f"{len(review.records)} refused" if review.identity is None else f"{len(review.records)} as {review.identity!r}"
        for review in reviews
    )
