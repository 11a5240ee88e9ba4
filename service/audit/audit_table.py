"""The table of the audit log, and the triggers that keep SQLite from changing it."""

from sqlalchemy import DDL, JSON, Column, Integer, MetaData, String, Table, event

from service.jobs.job_table import UtcTime

METADATA = MetaData()

ENTRIES = Table(
    "audit",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False, index=True),
    Column("action", String(40), nullable=False, index=True),
    Column("caller", String(100), nullable=False),
    Column("key", String(12), index=True),
    Column("peer", String(60)),
    Column("request_id", String(64)),
    Column("status", Integer),
    Column("facts", JSON, nullable=False),
    sqlite_autoincrement=True,  # the number of an entry that retention removed is never given again
)

RETENTION = Table(
    "audit_retention",
    METADATA,
    Column("only", Integer, primary_key=True),
    Column("keep_from", UtcTime, nullable=False),
)
"""One row: entries from before this time may be removed."""

for _trigger in (
    """CREATE TRIGGER IF NOT EXISTS audit_is_never_changed BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
    """CREATE TRIGGER IF NOT EXISTS audit_is_kept BEFORE DELETE ON audit
    WHEN NOT EXISTS (SELECT 1 FROM audit_retention WHERE OLD.at < keep_from)
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: only its retention removes old entries'); END""",
    # The least that SANET_AUDIT_DAYS can be: nobody empties the log of today with one more statement.
    """CREATE TRIGGER IF NOT EXISTS audit_retention_is_a_day BEFORE UPDATE ON audit_retention
    WHEN NEW.keep_from > datetime('now', '-1 day', '+1 minute')
    BEGIN SELECT RAISE(ABORT, 'the audit log is kept for a day at least'); END""",
    """CREATE TRIGGER IF NOT EXISTS audit_retention_begins_with_nothing BEFORE INSERT ON audit_retention
    WHEN NEW.keep_from > '1970-01-02' OR EXISTS (SELECT 1 FROM audit_retention)
    BEGIN SELECT RAISE(ABORT, 'the audit log has its retention already'); END""",
):
    event.listen(METADATA, "after_create", DDL(_trigger).execute_if(dialect="sqlite"))  # type: ignore[no-untyped-call]
