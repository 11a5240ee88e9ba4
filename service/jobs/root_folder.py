"""A folder that jobs are confined to, whatever paths they are given: nothing leads out of it, links included."""

import os
import stat
from errno import ELOOP, ENOENT, ENOTDIR
from pathlib import Path
from typing import ClassVar, Final

from service.jobs.errors import UnusableDataError

_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER: Final = _FILE | os.O_DIRECTORY


class RootFolder:
    """A folder and what lies below it.

    Paths are relative to the folder, or absolute and below it. They are taken apart as texts, ``..`` included, and then
    opened part by part from the folder on. A part that is a link is refused, and so is whatever is neither a folder nor
    a regular file: it is not even opened.

    Attributes:
        setting: the environment variable that names the folder.
        purpose: what jobs do there, for messages: "from which jobs read".

    Raises:
        UnusableDataError: by each method, for a path that cannot be used; the message names it as it was given.
    """

    setting: ClassVar[str]
    purpose: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        """Takes the folder as it is now: it may be reached through links itself.

        Raises:
            ValueError: it is no folder.
        """
        if not folder.is_dir():
            raise ValueError(f"{self.setting}={str(folder)!r} is no folder: set it to one, or leave it out")
        self._spellings = {Path(os.path.abspath(folder)), folder.resolve()}  # noqa: PTH100 - links stay as they are
        self._folder = folder.resolve()

    def path_below(self, path: str, start: Path | None = None) -> Path:
        """The absolute path, without ``.`` and ``..``, that a path means; nothing is looked up on the disk.

        Args:
            path: as it was given.
            start: what it is relative to: by default the root, else a path that this gave.
        """
        if "\0" in path:
            raise UnusableDataError(f"{shown(path)} has a NUL character, which no path has")
        below_root = Path() if start is None else start.relative_to(self._folder)
        for folder in self._spellings:
            absolute = Path(os.path.normpath(folder / below_root / path))
            if absolute.is_relative_to(folder):
                return self._folder / absolute.relative_to(folder)
        raise UnusableDataError(f"{shown(path)} does not lie below {self.setting}, {self.purpose}")

    def is_folder(self, path: Path) -> bool:
        """Whether a folder, and no file, lies at a path that `path_below` gave."""
        descriptor = self._open(path, allow_folder=True)
        try:
            return stat.S_ISDIR(os.fstat(descriptor).st_mode)
        finally:
            os.close(descriptor)

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
                        f"{self._shown(path)} {'is' if is_last else 'goes through'} {name_of(mode)}"
                    )
                inner = os.open(name, _FOLDER if stat.S_ISDIR(mode) else _FILE, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            mode = os.fstat(descriptor).st_mode
            if not (stat.S_ISREG(mode) or (allow_folder and stat.S_ISDIR(mode))):
                raise UnusableDataError(f"{self._shown(path)} is {name_of(mode)}, not a file")
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
        return shown(str(path.relative_to(self._folder)))


def name_of(mode: int) -> str:
    """What lies at a path, in words, by the mode that `os.stat` tells."""
    if stat.S_ISLNK(mode):
        return "a link, which is not followed"
    return "a folder" if stat.S_ISDIR(mode) else "neither a folder nor a regular file"


def shown(path: str) -> str:
    """A path as it was given, for a message: quoted, and cut if it is long."""
    text = path.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return repr(text if len(text) <= 200 else f"{text[:200]}...")
