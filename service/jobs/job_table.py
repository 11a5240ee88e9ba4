"""The tables of jobs: the same in SQLite and in PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)

METADATA = MetaData()


class UtcTime(TypeDecorator[datetime]):
    """A time with its zone, kept as UTC without one: SQLite knows no zones."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """From a time with its zone."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """To a time in UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


JOBS = Table(
    "jobs",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("key", Text, index=True),
    Column("state", Text, nullable=False, index=True),
    Column("cursor", JSON(none_as_null=True)),
    Column("num_done", BigInteger, nullable=False, default=0),
    Column("num_total", BigInteger),
    Column("num_rejected", BigInteger, nullable=False, default=0),
    Column("report", JSON(none_as_null=True)),
    Column("error", Text),
    Column("cancelling", Boolean, nullable=False, default=False),
    Column("version", BigInteger, nullable=False, default=1),
    Column("num_starts", Integer, nullable=False, default=0),
    Column("created_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("run_started_at", UtcTime),
    Column("num_done_before_run", BigInteger, nullable=False, default=0),
    Column("progressed_at", UtcTime),
    Column("finished_at", UtcTime),
)

REJECTIONS = Table(
    "job_rejections",
    METADATA,
    Column("job", ForeignKey("jobs.seq"), primary_key=True),
    # From 1, in the order in which they were found.
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("row", BigInteger),
    Column("name", Text, nullable=False),
    Column("box", Text),
    Column("reason", Text, nullable=False),
)

LEASES = Table(
    "job_leases",
    METADATA,
    Column("job", ForeignKey("jobs.seq"), primary_key=True),
    Column("runner", Text, nullable=False),
    Column("until", UtcTime, nullable=False),
)
"""Which process runs a job, where several may."""

Index("jobs_kind_seq", JOBS.c.kind, JOBS.c.seq)
