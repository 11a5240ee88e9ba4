import errno
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import pytest

from index.embedded.disk import disk_errors, replace_text, sync_folder
from index.gallery.errors import CursorError, GalleryError, GalleryFullError


def raised(error: BaseException, path: Path) -> BaseException:
    """What becomes of the error."""
    with pytest.raises(BaseException) as caught, disk_errors(path):  # noqa: PT011 (any)
        raise error
    return caught.value


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_is_a_full_gallery(tmp_path: Path, code: int) -> None:
    error = OSError(code, os.strerror(code))
    found = raised(error, tmp_path)
    assert isinstance(found, GalleryFullError)
    assert found.__cause__ is error
    assert str(found) == (
        "the disk of the gallery is full: nothing of this request was stored; free space and send it again"
    )


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EIO, errno.ENOTDIR])
def test_what_the_system_refuses_is_said_with_its_reason(tmp_path: Path, code: int) -> None:
    found = raised(OSError(code, os.strerror(code)), tmp_path)
    assert type(found) is GalleryError
    assert str(found) == f"{tmp_path} cannot be read or written: {os.strerror(code)}"


def test_sqlite_without_room_is_a_full_gallery(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA max_page_count = 2")
        connection.execute("CREATE TABLE a (b)")
        with pytest.raises(GalleryFullError), disk_errors(path):
            connection.execute("INSERT INTO a VALUES (zeroblob(100000))")


def test_an_io_error_of_sqlite_is_a_full_gallery_only_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    assert str(raised(error, tmp_path / "a")) == f"{tmp_path / 'a'} cannot be read or written: disk I/O error"
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    assert isinstance(raised(error, tmp_path / "a"), GalleryFullError)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(b"no database" * 100)
    with closing(sqlite3.connect(path)) as connection, pytest.raises(GalleryError) as found, disk_errors(path):
        connection.execute("SELECT * FROM sqlite_master")
    assert (
        str(found.value)
        == f"{path} cannot be read as the gallery's records: file is not a database; restore it from a backup"
    )


def test_a_schema_whose_names_are_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gallery.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE garbled (x)")
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE", b"CREATE TA\xd8LE"))
    refused = pytest.raises(GalleryError, match="restore it from a backup")
    with closing(sqlite3.connect(path)) as connection, refused, disk_errors(path):
        connection.execute("SELECT * FROM garbled")


@pytest.mark.parametrize(
    "error", [CursorError("x"), ValueError("x"), KeyboardInterrupt(), sqlite3.ProgrammingError("x")], ids=repr
)
def test_every_other_error_stays_what_it_is(tmp_path: Path, error: BaseException) -> None:
    assert raised(error, tmp_path) is error


def test_the_folder_of_names_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink()))
    sync_folder(tmp_path)
    assert synced == [tmp_path]


def test_a_text_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "contents.json"
    replace_text(file, "one")
    replace_text(file, "two")
    assert file.read_text("utf-8") == "two"
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", Mock(side_effect=OSError(errno.ENOSPC, "full")))
        with pytest.raises(GalleryFullError):
            replace_text(file, "three")
    assert file.read_text("utf-8") == "two"
    assert list(tmp_path.iterdir()) == [file]
