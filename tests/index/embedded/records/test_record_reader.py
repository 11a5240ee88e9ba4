import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from index.embedded.records.database_check import database_problems
from index.embedded.records.record_reader import RecordReader
from index.embedded.records.record_store import SqliteRecordStore
from index.gallery.errors import GalleryError
from index.gallery.record import Record
from index.gallery.record_store import Deletion
from index.gallery.verification import RowDescription
from tests.index.embedded.stored_gallery import FRAMES, RECORDS, tree, write_gallery
from tests.index.records import MODEL, OTHER_MODELS, record, tamper, values


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_gallery(tmp_path / "data") / "gallery.sqlite"


def test_it_reads_what_was_written_and_changes_nothing(path: Path) -> None:
    before = tree(path.parent)
    with RecordReader(path) as reader:
        assert reader.layout == 3
        assert (reader.num_records(), reader.num_images()) == (len(RECORDS), len(FRAMES))
        assert reader.models() == [(MODEL, len(RECORDS) - 1), (OTHER_MODELS[0], 1)]
        assert reader.seqs_after(0, 3) == [1, 2, 3]
        assert reader.seqs_after(14, 100) == [15, 16]
        walked = [(seq, values(one)) for seq, one in reader.walk() if isinstance(one, Record)]
        assert walked == [(seq, values(one)) for seq, one in enumerate(RECORDS, start=1)]
        assert list(reader.contents()) == sorted(FRAMES)
        found = reader.records_at([9, 77])
        assert {seq: values(one) for seq, one in found.items()} == {9: values(RECORDS[8])}
        assert reader.describe([9, 77]) == {
            9: RowDescription(RECORDS[8].id, RECORDS[8].content, "0,0,60,40", "9.jpg", None)
        }
    assert tree(path.parent) == before


@pytest.mark.parametrize(("sql", "problem"), [
    ("UPDATE record SET camera = 'x' WHERE seq = 9", "checksum differs"),
    ("UPDATE record SET camera = CAST(x'ff' AS TEXT) WHERE seq = 9", "checksum differs"),
    ("UPDATE record SET tags = '[' WHERE seq = 9", "cannot be read"),
    ("DELETE FROM embedding WHERE seq = 9", "its embedding is lost"),
])  # fmt: skip
def test_a_damaged_record_is_described(path: Path, sql: str, problem: str) -> None:
    tamper(path, sql)
    with RecordReader(path) as reader:
        assert 9 not in reader.records_at(range(1, 17))
        described = dict(reader.walk())[9]
        assert isinstance(described, RowDescription)
        assert described == reader.describe([9])[9]
        assert described.id == RECORDS[8].id
        assert described.problem is not None
        assert problem in described.problem


def test_it_sees_one_moment_while_others_write(path: Path) -> None:
    with closing(SqliteRecordStore(path)) as store, RecordReader(path) as reader:
        with reader.frozen():
            assert reader.num_records() == 16
            with store.transaction() as writer:
                writer.insert(record(50))
                writer.delete([1])
            assert reader.num_records() == 16
            assert [seq for seq, _ in reader.walk()] == list(range(1, 17))
        assert reader.seqs_after(0, 100) == list(range(2, 18))


def test_what_is_no_gallery_is_refused(tmp_path: Path, path: Path) -> None:
    with pytest.raises(GalleryError, match="is missing"):
        RecordReader(tmp_path / "absent")
    tamper(path, "PRAGMA user_version = 4")
    with pytest.raises(GalleryError, match="has the layout 4"):
        RecordReader(path)
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(GalleryError, match="cannot be read as the gallery's records"):
        RecordReader(path)


def test_a_copy_has_nothing_of_what_was_deleted(path: Path, tmp_path: Path) -> None:
    time = datetime(2026, 5, 1, tzinfo=UTC)
    with closing(SqliteRecordStore(path)) as store:
        with store.transaction() as writer:
            writer.set_aside([1, 2], Deletion("d", time, time, 2, undone=False))
        copied = closing(sqlite3.connect(tmp_path / "copy.sqlite", isolation_level=None))
        with RecordReader(path) as reader, copied as copy:
            reader.back_up(copy, lambda *_: None)
            assert database_problems(copy, 3) == []
        assert store.deleted_contents() == {RECORDS[0].content, RECORDS[1].content}
    with closing(SqliteRecordStore(tmp_path / "copy.sqlite")) as store:
        assert (store.deletions(), store.deleted_contents(), store.count()) == ([], set(), 14)
        assert store.last_seq == 16
    for folder in (path.parent, tmp_path):
        for file in folder.glob("*.sqlite"):
            with closing(sqlite3.connect(file)) as connection:
                assert connection.execute("SELECT count(*) FROM deleted_embedding").fetchone()[0] in (0, 2)
