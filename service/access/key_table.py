"""The table of keys: the same in SQLite and in PostgreSQL."""

from sqlalchemy import Column, LargeBinary, MetaData, String, Table

from service.jobs.job_table import UtcTime

METADATA = MetaData()

KEYS = Table(
    "keys",
    METADATA,
    Column("id", String(12), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("scope", String(10), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("rate", String(40)),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime),
    Column("revoked_at", UtcTime),
)
