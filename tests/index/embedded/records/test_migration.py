"""``galleries/layout-1`` was written by the program of commit e688dac."""

import logging
import os
import shutil
import sqlite3
import unicodedata
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import index.embedded.records.migration
from index.embedded.opening import open_gallery
from index.embedded.records.record_store import SqliteRecordStore
from index.embedded.records.record_writer import SqliteWriter
from index.gallery.errors import GalleryError, GalleryFullError
from index.gallery.fields import Fields
from index.gallery.filters import Filter
from model.box import Box
from tests.index.records import DIM, MODEL, OTHER_MODELS, image, record, tamper, values

LAYOUT_1 = Path(__file__).parents[1] / "galleries" / "layout-1"
LAYOUT_2 = LAYOUT_1.with_name("layout-2")
TIME = datetime(2025, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)

# What is in it, by seq, as it is to be found in layout 2; seq 5 is damaged, and seq 8 was deleted.
EXPECTED = {
    1: record(
        1, identity="plain", camera="north", captured_at=TIME, latitude=50.5, longitude=-8.25, tags=("red", "van")
    ),
    2: record(2),
    3: record(3, identity="Zoë", camera="north", tags=("größe", "van")),
    4: record(4, identity="x" * 250),
    6: record(6, frame=1, box=Box(1, 2, 30, 20), identity="Zoë"),
    7: record(7, identity="no\nrth"),
    9: record(9, model=OTHER_MODELS[0], identity="ä", camera="south"),
}
RENAMED = {3, 4, 9}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(LAYOUT_1, tmp_path / "data")
    return tmp_path / "data"


def connect(path: Path) -> sqlite3.Connection:
    """Reads a database that nobody has open; the committed one without writing beside it."""
    immutable = "?immutable=1" if path.is_relative_to(LAYOUT_1) else ""
    return sqlite3.connect(f"file:{path}{immutable}", uri=True)


def rows(path: Path) -> list[tuple[Any, ...]]:
    """Everything that layout 1 keeps, as bytes and numbers."""
    columns = """seq, id, content, media_type, box, whole_image, identity, camera, captured_at, latitude, longitude,
        tags, fingerprint, precision, enrolled_at, checksum, embedding, theta"""
    with closing(connect(path)) as connection:
        return connection.execute(f"SELECT {columns} FROM record JOIN embedding USING (seq) ORDER BY seq").fetchall()


def version(path: Path) -> int:
    with closing(connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def assert_is_migrated(folder: Path) -> None:
    with closing(SqliteRecordStore(folder / "gallery.sqlite")) as store:
        found = {seq: values(one) for seq, one in store.records_at(range(1, 10)).items()}
        assert found == {seq: values(one) for seq, one in EXPECTED.items()}
        assert store.damaged == {5}
        assert sorted(store.contents_passing(Filter(identity="Zoë"))) == [3, 6]
    assert version(folder / "gallery.sqlite") == 3
    assert version(folder / "gallery.sqlite.layout-1") == 1
    assert rows(folder / "gallery.sqlite.layout-1") == rows(LAYOUT_1 / "gallery.sqlite")
    assert {path.name for path in folder.glob("gallery.sqlite*")} == {"gallery.sqlite", "gallery.sqlite.layout-1"}


def test_the_gallery_of_the_test_is_of_layout_1() -> None:
    assert version(LAYOUT_1 / "gallery.sqlite") == 1
    identities = {row[0]: row[6] for row in rows(LAYOUT_1 / "gallery.sqlite")}
    assert identities[3] == unicodedata.normalize("NFD", "Zoë") != "Zoë"
    assert identities[9] == unicodedata.normalize("NFD", "ä") + "  "


def test_a_gallery_of_layout_1_is_migrated_when_it_is_opened(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), closing(open_gallery(folder, MODEL, DIM)) as gallery:
        assert "brought to layout 2, with 3 records whose names" in caplog.text
        stats = gallery.stats(9)
        assert (stats.total, stats.searchable, stats.damaged, stats.stray_images) == (8, 6, 1, 0)
        for seq in (1, 2, 3, 4, 7):
            assert gallery.image(gallery.get(EXPECTED[seq].id)) == image(seq)
        changed = gallery.update(EXPECTED[1].id, {"source": "a.jpg", "attributes": {"colour": "red"}})
        gallery.update(changed.id, {"source": None, "attributes": {}})
    assert_is_migrated(folder)


def test_only_records_whose_names_change_are_written_and_the_damaged_one_stays_as_it_was(folder: Path) -> None:
    SqliteRecordStore(folder / "gallery.sqlite").close()
    before, after = rows(LAYOUT_1 / "gallery.sqlite"), rows(folder / "gallery.sqlite")
    assert [old[0] for old, new in zip(before, after, strict=True) if old != new] == sorted(RENAMED)
    # Nothing but the names and the checksum.
    unnamed = [[row[:6] + row[8:11] + row[12:15] + row[16:] for row in layout] for layout in (before, after)]
    assert unnamed[0] == unnamed[1]


def test_a_migrated_gallery_has_the_table_of_a_new_one(folder: Path, tmp_path: Path) -> None:
    def described(path: Path) -> list[Any]:
        SqliteRecordStore(path).close()
        with closing(sqlite3.connect(path)) as connection:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            columns = {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in sorted(tables)}
            indexes = connection.execute("SELECT name FROM sqlite_master WHERE type = 'index' ORDER BY name").fetchall()
        return [columns, indexes]

    assert described(folder / "gallery.sqlite") == described(tmp_path / "new.sqlite")


@pytest.mark.parametrize(
    "statement", ["BEGIN", "TABLE deletion", "TABLE deleted_embedding", "user_version = 3", "COMMIT"]
)
def test_a_gallery_of_layout_2_gets_tables_for_what_was_deleted_or_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    path = Path(shutil.copy(LAYOUT_2 / "gallery.sqlite", tmp_path / "gallery.sqlite"))
    before = rows(path)
    connect = sqlite3.connect
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, **options, factory=FailsAt))
        patch.setattr(FailsAt, "text", statement)
        patch.setattr(FailsAt, "error", KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            SqliteRecordStore(path)
    assert (version(path), rows(path)) == (2, before)
    with closing(SqliteRecordStore(path)) as store:
        assert store.deletions() == []
    assert (version(path), rows(path)) == (3, before)
    assert [file.name for file in tmp_path.iterdir()] == ["gallery.sqlite"]


def test_a_migration_that_is_interrupted_between_two_layouts_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, **options, factory=FailsAt))
        patch.setattr(FailsAt, "text", "CREATE TABLE deletion")
        with pytest.raises(KeyboardInterrupt):
            SqliteRecordStore(folder / "gallery.sqlite")
    assert version(folder / "gallery.sqlite") == 2
    assert_is_migrated(folder)


def test_the_copy_is_made_once_and_kept(folder: Path) -> None:
    SqliteRecordStore(folder / "gallery.sqlite").close()
    copy = folder / "gallery.sqlite.layout-1"
    first = copy.read_bytes(), copy.stat().st_ino
    SqliteRecordStore(folder / "gallery.sqlite").close()
    assert (copy.read_bytes(), copy.stat().st_ino) == first
    # The copy is a gallery itself: moved back, it is migrated again.
    shutil.copy(copy, folder / "gallery.sqlite")
    assert_is_migrated(folder)


def _raising(error: BaseException) -> Callable[..., Any]:
    def failing(*_: object, **__: object) -> None:
        raise error

    return failing


class FailsAt(sqlite3.Connection):
    """Raises at the first statement with this text."""

    text = ""
    error: BaseException = KeyboardInterrupt()

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if self.text and self.text in sql:
            raise self.error
        return super().execute(sql, *parameters)


STATEMENTS = [
    *("journal_mode = DELETE", "BEGIN", "COLUMN source", "COLUMN attributes", "CREATE INDEX record_source"),
    *("SELECT seq, identity", "WHERE seq = ?", "UPDATE record", "PRAGMA user_version = 2", "COMMIT"),
]


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), sqlite3.OperationalError("disk I/O error")], ids=repr)
def test_a_migration_that_is_interrupted_at_any_statement_is_done_by_the_next_opening(
    folder: Path, monkeypatch: pytest.MonkeyPatch, statement: str, error: BaseException
) -> None:
    connect = sqlite3.connect
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, **options, factory=FailsAt))
        patch.setattr(FailsAt, "text", statement)
        patch.setattr(FailsAt, "error", error)
        with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else GalleryError):
            SqliteRecordStore(folder / "gallery.sqlite")
    assert version(folder / "gallery.sqlite") == 1
    assert rows(folder / "gallery.sqlite") == rows(LAYOUT_1 / "gallery.sqlite")
    assert_is_migrated(folder)


@pytest.mark.parametrize(
    ("owner", "name"),
    [(os, "fsync"), (Path, "replace"), (index.embedded.records.migration, "sync_folder"), (SqliteWriter, "update")],
    ids=["sync", "rename", "sync folder", "update"],
)
def test_a_migration_on_a_full_disk_says_so_and_is_done_by_the_next_opening(
    folder: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, _raising(OSError(28, "No space left on device")))
        with pytest.raises(GalleryFullError):
            SqliteRecordStore(folder / "gallery.sqlite")
    assert not (folder / "gallery.sqlite.layout-1.tmp").exists()
    assert version(folder / "gallery.sqlite") == 1
    assert_is_migrated(folder)


def test_what_a_killed_migration_left_is_no_hindrance(folder: Path) -> None:
    for ending in (".tmp", ".tmp-journal", ".tmp-wal"):
        (folder / f"gallery.sqlite.layout-1{ending}").write_bytes(b"half a copy")
    assert_is_migrated(folder)


@pytest.mark.parametrize("column", ["identity", "tags"])
def test_a_damaged_row_does_not_hinder_the_migration(folder: Path, column: str) -> None:
    tamper(folder / "gallery.sqlite", f"UPDATE record SET {column} = '[\"x ' WHERE seq = 3")
    with closing(SqliteRecordStore(folder / "gallery.sqlite")) as store:
        assert sorted(store.records_at(range(1, 10))) == [1, 2, 4, 6, 7, 9]
        assert store.damaged == {3, 5}


def test_names_that_only_composition_tells_apart_become_one(folder: Path) -> None:
    with closing(SqliteRecordStore(folder / "gallery.sqlite")) as store:
        assert store.records_at([3])[3].fields == Fields(identity="Zoë", camera="north", tags=("größe", "van"))
