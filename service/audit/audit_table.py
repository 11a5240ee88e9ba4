"""The table of the audit log, and the triggers that keep its database from changing it."""

from sqlalchemy import DDL, JSON, BigInteger, Column, Integer, MetaData, Table, Text, event

from service.jobs.job_table import UtcTime

METADATA = MetaData()

ENTRIES = Table(
    "audit",
    METADATA,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False, index=True),
    Column("action", Text, nullable=False, index=True),
    Column("caller", Text, nullable=False),
    Column("key", Text, index=True),
    Column("peer", Text),
    Column("request_id", Text),
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

# The same for PostgreSQL, where TRUNCATE is one more way to empty a table.
for _statement in (
    """CREATE OR REPLACE FUNCTION audit_refuses() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = TG_ARGV[0]; END $$""",
    """CREATE OR REPLACE FUNCTION audit_keeps() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT 1 FROM audit_retention WHERE OLD.at < keep_from) THEN RETURN OLD; END IF;
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
        MESSAGE = 'the audit log is append-only: only its retention removes old entries'; END $$""",
    """CREATE OR REPLACE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit FOR EACH ROW
    EXECUTE FUNCTION audit_refuses('the audit log is append-only')""",
    """CREATE OR REPLACE TRIGGER audit_is_never_emptied BEFORE TRUNCATE ON audit
    EXECUTE FUNCTION audit_refuses('the audit log is append-only')""",
    """CREATE OR REPLACE TRIGGER audit_is_kept BEFORE DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_keeps()""",
    """CREATE OR REPLACE TRIGGER audit_retention_is_a_day BEFORE UPDATE ON audit_retention FOR EACH ROW
    WHEN (NEW.keep_from > now() AT TIME ZONE 'UTC' - interval '1 day' + interval '1 minute')
    EXECUTE FUNCTION audit_refuses('the audit log is kept for a day at least')""",
    """CREATE OR REPLACE TRIGGER audit_retention_begins_with_nothing BEFORE INSERT ON audit_retention FOR EACH ROW
    WHEN (NEW.keep_from > '1970-01-02' OR NEW."only" <> 1)
    EXECUTE FUNCTION audit_refuses('the audit log has its retention already')""",
    """CREATE OR REPLACE TRIGGER audit_retention_stays BEFORE DELETE ON audit_retention FOR EACH ROW
    EXECUTE FUNCTION audit_refuses('the audit log has a retention')""",
):
    _ddl = DDL(_statement).execute_if(dialect="postgresql")  # type: ignore[no-untyped-call]
    event.listen(METADATA, "after_create", _ddl)
