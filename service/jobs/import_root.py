"""The one folder from which jobs may read, whatever paths they are given: nothing leads out of it, links included."""

import os
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

from index.datasets.image_folder import is_left_out
from service.jobs.errors import UnusableDataError
from service.jobs.root_folder import RootFolder, name_of, shown


class Listed(NamedTuple):
    """A file below a folder: its path relative to it, or why it cannot be read."""

    path: str
    problem: str | None


class _Entry(NamedTuple):
    """A path in a folder, and ``file``, ``folder`` or in words what else lies there."""

    path: str
    kind: str


class ImportRoot(RootFolder):
    """Files and folders that jobs read; the rest is as in `RootFolder`."""

    setting: ClassVar[str] = "SANET_IMPORT_ROOT"
    purpose: ClassVar[str] = "from which jobs read"

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
                yield Listed(entry.path, None if entry.kind == "file" else f"{shown(entry.path)} is {entry.kind}")

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


def _kind_of(entry: os.DirEntry[str]) -> str:
    """``file``, ``folder``, or in words what else it is."""
    if entry.is_symlink():
        return name_of(stat.S_IFLNK)
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    if entry.is_file(follow_symlinks=False):
        return "file"
    return name_of(0)
