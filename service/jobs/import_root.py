"""The one folder from which jobs may read, whatever paths they are given: nothing leads out of it, links included."""

import os
import stat
import unicodedata
from collections.abc import Iterator
from errno import ELOOP, ENOENT, ENOTDIR
from pathlib import Path
from typing import Final, NamedTuple

from index.datasets.image_folder import is_left_out
from service.jobs.errors import UnusableDataError

_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER: Final = _FILE | os.O_DIRECTORY


class Listed(NamedTuple):
    """A file below a folder: its path relative to it, or why it cannot be read."""

    path: str
    problem: str | None


class _Entry(NamedTuple):
    """A path in a folder, and ``file``, ``folder`` or in words what else lies there."""

    path: str
    kind: str


class ImportRoot:
    """A folder and what lies below it.

    Paths are relative to the folder, or absolute and below it. They are taken apart as texts, ``..`` included, and then
    opened part by part from the folder on. A part that is a link is refused, and so is whatever is neither a folder nor
    a regular file: it is not even opened.

    Raises:
        UnusableDataError: by each method, for a path that cannot be used; the message names it as it was given.
    """

    def __init__(self, folder: Path) -> None:
        """Takes the folder as it is now: it may be reached through links itself.

        Raises:
            ValueError: it is no folder.
        """
        if not folder.is_dir():
            raise ValueError(f"SANET_IMPORT_ROOT={str(folder)!r} is no folder: set it to one, or leave it out")
        self._spellings = {Path(os.path.abspath(folder)), folder.resolve()}  # noqa: PTH100 - links stay as they are
        self._folder = folder.resolve()

    def path_below(self, path: str, start: Path | None = None) -> Path:
        """The absolute path, without ``.`` and ``..``, that a path means; nothing is looked up on the disk.

        Args:
            path: as it was given.
            start: what it is relative to: by default the root, else a path that this gave.
        """
        if "\0" in path:
            raise UnusableDataError(f"{_shown(path)} has a NUL character, which no path has")
        below_root = Path() if start is None else start.relative_to(self._folder)
        for folder in self._spellings:
            absolute = Path(os.path.normpath(folder / below_root / path))
            if absolute.is_relative_to(folder):
                return self._folder / absolute.relative_to(folder)
        raise UnusableDataError(f"{_shown(path)} does not lie below SANET_IMPORT_ROOT, from which jobs read")

    def is_folder(self, path: Path) -> bool:
        """Whether a folder, and no file, lies at a path that `path_below` gave."""
        descriptor = self._open(path, allow_folder=True)
        try:
            return stat.S_ISDIR(os.fstat(descriptor).st_mode)
        finally:
            os.close(descriptor)

    def open(self, path: str, _flags: int = 0) -> int:
        """A descriptor of the regular file at a path that `path_below` gave; what `open` takes as its ``opener``."""
        return self._open(Path(path))

    def read(self, path: Path, max_bytes: int) -> bytes:
        """The bytes of a file; of a larger one, none."""
        with os.fdopen(self._open_in_any_form(path), "rb") as file:
            data = file.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise UnusableDataError(
                f"{self._shown(path)} is larger than {max_bytes:,} bytes: cut it or make it smaller"
            )
        return data

    def read_head(self, path: Path, num_bytes: int) -> bytes:
        """The first bytes of a file."""
        with os.fdopen(self._open(path), "rb") as file:
            return file.read(num_bytes)

    def state_of(self, path: Path) -> list[int]:
        """The size of a file in bytes and when it was written, in ns: another one has another state."""
        descriptor = self._open(path)
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        return [status.st_size, status.st_mtime_ns]

    def walk(self, folder: Path) -> Iterator[Listed]:
        """All files in a folder and below, part by part in the order of their names; links and devices with a problem.

        Hidden files and what programs leave behind do not count, as in `index.datasets.image_folder`.
        """
        waiting = [iter(self._list(folder, ""))]  # one for each folder that the present one lies in
        while waiting:
            entry = next(waiting[-1], None)
            if entry is None:
                waiting.pop()
            elif entry.kind == "folder":
                try:
                    waiting.append(iter(self._list(folder, entry.path)))
                except UnusableDataError as error:
                    yield Listed(entry.path, str(error))
            else:
                yield Listed(entry.path, None if entry.kind == "file" else f"{_shown(entry.path)} is {entry.kind}")

    def _list(self, folder: Path, below: str) -> list["_Entry"]:
        descriptor = self._open(folder / below, allow_folder=True)
        try:
            with os.scandir(descriptor) as found:
                entries = sorted((entry.name, _kind_of(entry)) for entry in found if not is_left_out(entry.name))
        except OSError as error:
            raise UnusableDataError(self._said(folder / below, error)) from None
        finally:
            os.close(descriptor)
        return [_Entry(f"{below}/{name}" if below else name, kind) for name, kind in entries]

    def _open_in_any_form(self, path: Path) -> int:
        """As `_open`; where nothing lies at the path, then at its composed or decomposed form (`form_on_disk`)."""
        try:
            return self._open(path)
        except UnusableDataError:
            text = str(path.relative_to(self._folder))
            for form in ("NFC", "NFD"):
                other = self._folder / unicodedata.normalize(form, text)
                if other != path and os.path.lexists(other):
                    return self._open(other)
            raise

    def _open(self, path: Path, *, allow_folder: bool = False) -> int:
        parts = path.relative_to(self._folder).parts
        descriptor = os.open(self._folder, _FOLDER & ~os.O_NOFOLLOW)
        try:
            for number, name in enumerate(parts, start=1):
                mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
                is_last = number == len(parts)
                if stat.S_ISREG(mode) and not is_last:
                    raise OSError(ENOTDIR, "Not a directory")
                if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
                    raise UnusableDataError(
                        f"{self._shown(path)} {'is' if is_last else 'goes through'} {_name_of(mode)}"
                    )
                inner = os.open(name, _FOLDER if stat.S_ISDIR(mode) else _FILE, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            mode = os.fstat(descriptor).st_mode
            if not (stat.S_ISREG(mode) or (allow_folder and stat.S_ISDIR(mode))):
                raise UnusableDataError(f"{self._shown(path)} is {_name_of(mode)}, not a file")
        except OSError as error:
            os.close(descriptor)
            raise UnusableDataError(self._said(path, error)) from None
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _said(self, path: Path, error: OSError) -> str:
        if error.errno in (ENOENT, ENOTDIR):
            return f"there is nothing at {self._shown(path)}"
        if error.errno == ELOOP:
            return f"{self._shown(path)} is a link, which is not followed"
        return f"{self._shown(path)} cannot be read: {error.strerror}"

    def _shown(self, path: Path) -> str:
        return _shown(str(path.relative_to(self._folder)))


def _kind_of(entry: os.DirEntry[str]) -> str:
    """``file``, ``folder``, or in words what else it is."""
    if entry.is_symlink():
        return _name_of(stat.S_IFLNK)
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    if entry.is_file(follow_symlinks=False):
        return "file"
    return _name_of(0)


def _name_of(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a link, which is not followed"
    return "a folder" if stat.S_ISDIR(mode) else "neither a folder nor a regular file"


def _shown(path: str) -> str:
    text = path.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return repr(text if len(text) <= 200 else f"{text[:200]}...")
