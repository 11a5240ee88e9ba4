"""The table of keys: the same in SQLite and in PostgreSQL."""

from sqlalchemy import Column, LargeBinary, MetaData, Table, Text

from service.jobs.job_table import UtcTime

METADATA = MetaData()

KEYS = Table(
    "keys",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("rate", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime),
    Column("revoked_at", UtcTime),
)
