"""What was decided on proposed groups, on disk."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from sqlalchemy import Row, insert, select

from service.jobs.group_table import GROUP_REVIEWS
from service.jobs.job import Job
from service.jobs.store_errors import store_errors
from service.tables import Tables

Action = Literal["accept", "refuse"]

_COLUMNS: Final = GROUP_REVIEWS.c


@dataclass(frozen=True)
class Review:
    """What was decided on some records of a group.

    Attributes:
        identity: that they were given; None if they were refused.
        records: their ids.
        changed: those of them that have the identity since; the others were gone.
    """

    action: Action
    identity: str | None
    records: Sequence[str]
    changed: Sequence[str]


class GroupStore:
    """Reviews of the groups of all jobs, in the order in which they came. Safe to call from any thread."""

    def __init__(self, tables: Tables) -> None:
        """Takes the tables of the jobs, and adds its own if this is the first time.

        Raises:
            JobStoreError: they cannot be read or written.
        """
        self._tables = tables
        with store_errors(tables, "the reviews cannot be read"), tables.writing.begin() as connection:
            GROUP_REVIEWS.create(connection, checkfirst=True)

    def reviews(self, job: Job) -> dict[int, list[Review]]:
        """All reviews of a job's groups, by the groups' numbers.

        Raises:
            JobStoreError: they cannot be read.
        """
        wanted = select(GROUP_REVIEWS).where(_COLUMNS.job == job.seq).order_by(_COLUMNS.seq)
        found: dict[int, list[Review]] = defaultdict(list)
        with store_errors(self._tables, "the reviews cannot be read"), self._tables.engine.connect() as connection:
            for row in connection.execute(wanted):
                found[row.number].append(_review(row))
        return dict(found)

    def add(self, job: Job, number: int, review: Review) -> None:
        """Stores a review of a group; durable when this returns.

        Raises:
            JobStoreError: the disk refuses it.
        """
        values: dict[str, Any] = {
            "job": job.seq,
            "number": number,
            "action": review.action,
            "identity": review.identity,
            "records": list(review.records),
            "changed": list(review.changed),
            "reviewed_at": datetime.now(UTC),
        }
        with (
            store_errors(self._tables, "the review cannot be stored, send it again"),
            self._tables.writing.begin() as connection,
        ):
            connection.execute(insert(GROUP_REVIEWS).values(values))


def _review(row: Row[Any]) -> Review:
    return Review(row.action, row.identity, row.records, row.changed)
