"""What the gallery asks of its disk: that files outlive a power cut, and that a refusal is said in words."""

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from index.gallery.errors import GalleryError, GalleryFullError

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# SQLite calls some of what it cannot write on a full disk an I/O error; below this free space that is the reason.
_FULL_BELOW_BYTES: Final = 1_000_000


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns what the system or SQLite refuses about the file or folder `path` into a `GalleryError`.

    Raises:
        GalleryFullError: there is no room.
        GalleryError: it cannot be read or written, with the reason.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise GalleryFullError from error
        raise GalleryError(f"{path} cannot be read or written: {error.strerror or error}") from error
    except (sqlite3.ProgrammingError, sqlite3.IntegrityError, sqlite3.InterfaceError):
        raise  # a fault of this program
    except sqlite3.DatabaseError as error:
        code = error.sqlite_errorcode & 0xFF if hasattr(error, "sqlite_errorcode") else None
        if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _has_no_room(path)):
            raise GalleryFullError from error
        if isinstance(error, sqlite3.OperationalError):
            raise GalleryError(f"{path} cannot be read or written: {error}") from error
        raise GalleryError(
            f"{path} cannot be read as the gallery's records: {error}; restore it from a backup"
        ) from error
    except UnicodeDecodeError as error:  # SQLite's message quotes a name that the disk made no text any more
        raise GalleryError(f"{path} cannot be read as the gallery's records; restore it from a backup") from error


def replace_text(path: Path, text: str) -> None:
    """Makes a text the content of a file, durably and at one moment; a kill may leave ``<path>.tmp``.

    Raises:
        GalleryError: the disk refuses. The file is what it was, or the new one.
    """
    with disk_errors(path.parent):
        replace_bytes(path, text.encode())
        sync_folder(path.parent)


def replace_bytes(path: Path, data: bytes) -> None:
    """Makes bytes the content of a file, at one moment, and on disk before; its name is there after `sync_folder`.

    Raises:
        OSError: the disk refuses. The file is what it was, or the new one; a kill may leave ``<path>.tmp``.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _has_no_room(path: Path) -> bool:
    return shutil.disk_usage(path.parent).free < _FULL_BELOW_BYTES
