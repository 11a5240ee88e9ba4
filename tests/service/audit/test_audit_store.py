import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from service.access.key import Secret
from service.audit.audit_store import AuditStore, AuditStoreError, Search, keep_from
from service.audit.entry import MAX_IDS, Entry
from tests.postgres_server import PostgresServer

START = datetime(2026, 5, 1, tzinfo=UTC)


def entries() -> list[Entry]:
    actions, keys = ("enrol", "delete", "query"), (None, "0" * 12, "1" * 12)
    return [
        Entry(
            actions[n % 3],
            "anonymous" if keys[n % 2] is None else f"key {n % 2}",
            keys[n % 2],
            at=START + timedelta(hours=n),
            request_id=str(n),
            status=200,
            facts={"n": n},
        )
        for n in range(30)
    ]


@pytest.fixture
def store(tmp_path: Path, database: str | None) -> Iterator[AuditStore]:
    with closing(AuditStore(tmp_path / "audit.sqlite", database)) as store:
        store.append(entries())
        yield store


def test_what_was_written_is_read_in_its_order(store: AuditStore) -> None:
    found = list(store.all(Search()))
    assert [entry.seq for entry in found] == list(range(1, 31))
    assert [{**vars(entry), "seq": None} for entry in found] == [vars(entry) for entry in entries()]
    assert json.loads(json.dumps(found[0].to_dict()))["at"] == "2026-05-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    "search",
    [
        Search(),
        Search(key="0" * 12),
        Search(key="key 1"),
        Search(key="anonymous"),
        Search(key="nobody"),
        Search(action="delete"),
        Search(since=START + timedelta(hours=7)),
        Search(until=START + timedelta(hours=7)),
        Search(key="anonymous", action="query", since=START + timedelta(hours=3), until=START + timedelta(hours=20)),
    ],
)
@pytest.mark.parametrize("limit", [1, 4, 100])
def test_a_search_finds_what_a_loop_finds(store: AuditStore, search: Search, limit: int) -> None:
    expected = [
        entry.request_id
        for entry in reversed(entries())
        if (search.key is None or search.key in (entry.key, entry.caller))
        and (search.action is None or entry.action == search.action)
        and (search.since is None or entry.at >= search.since)
        and (search.until is None or entry.at < search.until)
    ]
    found: list[str | None] = []
    before = None
    while True:
        page = store.page(search, limit, before)
        assert page.total == len(expected)
        found += [entry.request_id for entry in page.entries]
        before = page.next_before
        if before is None:
            break
        assert len(page.entries) == limit
    assert found == expected
    assert [entry.request_id for entry in store.all(search)] == expected[::-1]


STATEMENTS = [
    "UPDATE audit SET caller = 'nobody' WHERE seq = 3",
    "UPDATE audit SET at = '1980-01-01'",
    "DELETE FROM audit WHERE seq = 3",
    "DELETE FROM audit",
    "UPDATE audit_retention SET keep_from = '2999-01-01'",
    "INSERT INTO audit_retention VALUES (2, '1970-01-01')",
]
IN_SQLITE = ["REPLACE INTO audit_retention VALUES (2, '2999-01-01')"]
IN_POSTGRESQL = ["TRUNCATE audit", "DELETE FROM audit_retention"]


def test_nothing_else_changes_it(
    store: AuditStore, tmp_path: Path, database: str | None, postgres_server: PostgresServer
) -> None:
    for statement in [*STATEMENTS, *(IN_SQLITE if database is None else IN_POSTGRESQL)]:
        with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError), match="audit log"):
            change(tmp_path, database, postgres_server, statement)
    assert len(list(store.all(Search()))) == 30


def test_a_trigger_that_somebody_removed_comes_back(
    store: AuditStore, tmp_path: Path, database: str | None, postgres_server: PostgresServer
) -> None:
    drop = "DROP TRIGGER audit_is_never_changed" + (" ON audit" if database else "")
    change(tmp_path, database, postgres_server, drop)
    AuditStore(tmp_path / "audit.sqlite", database).close()
    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)):
        change(tmp_path, database, postgres_server, "UPDATE audit SET caller = 'nobody'")


def change(folder: Path, database: str | None, server: PostgresServer, statement: str) -> None:
    """Runs a statement behind the store's back."""
    if database is None:
        with closing(sqlite3.connect(folder / "audit.sqlite")) as plain, plain:
            plain.execute(statement)
    else:
        server.execute(statement, url=database)


def test_retention_removes_what_is_older_and_no_more(tmp_path: Path, database: str | None) -> None:
    store = AuditStore(tmp_path / "audit.sqlite", database)
    now = datetime.now(UTC)
    ages = [400, 366, 364, 30, 0]
    store.append([Entry("query", "a", at=now - timedelta(days=age), facts={"age": age}) for age in ages])
    assert store.remove_before(keep_from(365)) == 2
    assert [entry.facts["age"] for entry in store.all(Search())] == [364, 30, 0]
    with pytest.raises(AuditStoreError, match="kept for a day at least"):
        store.remove_before(now)
    assert store.remove_before(keep_from(1)) == 2
    store.append([Entry("query", "a")])
    assert [entry.seq for entry in store.all(Search())] == [5, 6]  # no number is given twice
    store.close()


def test_facts_are_bounded_and_hide_keys(tmp_path: Path, database: str | None) -> None:
    store = AuditStore(tmp_path / "audit.sqlite", database)
    secret = Secret.make()
    facts = {
        "ids": [str(n) for n in range(1000)],
        "long": "x" * 9000,
        "half": "\ud800",
        "none": None,
        "k": f"a {secret}",
    }
    store.append([Entry("enrol", "a", facts=facts)])
    (entry,) = store.all(Search())
    assert entry.facts["ids"] == [str(n) for n in range(MAX_IDS)]
    assert len(entry.facts["long"]) == 4003
    assert entry.facts["k"] == f"a sanet_{secret.id}_***"
    assert "none" not in entry.facts
    store.close()


def test_what_is_no_database_is_an_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / "audit.sqlite").write_bytes(b"x" * 5000)
    with pytest.raises(AuditStoreError, match="cannot be read or written"):
        AuditStore(tmp_path / "audit.sqlite")
    assert (tmp_path / "audit.sqlite").read_bytes() == b"x" * 5000
