import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from index.embedded.records.database_file import new_database, remove_database


def test_a_new_database_is_one_file_and_replaces_what_was_left(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"
    for ending in ("", "-wal", "-shm", "-journal"):
        (tmp_path / f"new.sqlite{ending}").write_bytes(b"left by a killed one")
    with new_database(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (7)")
    assert [file.name for file in tmp_path.iterdir()] == ["new.sqlite"]
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        assert connection.execute("SELECT x FROM t").fetchall() == [(7,)]
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_nothing_is_left_of_one_that_failed(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError), new_database(tmp_path / "new.sqlite") as connection:
        connection.executescript("CREATE TABLE t (x); no SQL")
    assert list(tmp_path.iterdir()) == []


def test_removing_leaves_other_files(tmp_path: Path) -> None:
    for name in ("a.sqlite", "a.sqlite-wal", "a.sqlite.layout-1", "b.sqlite"):
        (tmp_path / name).touch()
    remove_database(tmp_path / "a.sqlite")
    assert {file.name for file in tmp_path.iterdir()} == {"a.sqlite.layout-1", "b.sqlite"}
