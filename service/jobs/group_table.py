"""The table of what was decided on proposed groups: the same in SQLite and in PostgreSQL."""

from sqlalchemy import JSON, Column, ForeignKey, Index, Integer, Table, Text

from service.jobs.job_table import METADATA, UtcTime

GROUP_REVIEWS = Table(
    "group_reviews",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("job", ForeignKey("jobs.seq"), nullable=False),
    # Of the group in its job.
    Column("number", Integer, nullable=False),
    Column("action", Text, nullable=False),
    Column("identity", Text),
    Column("records", JSON, nullable=False),
    # Of an accepted part, those of the records that have the identity since.
    Column("changed", JSON, nullable=False),
    Column("reviewed_at", UtcTime, nullable=False),
)

Index("group_reviews_job_number", GROUP_REVIEWS.c.job, GROUP_REVIEWS.c.number)
