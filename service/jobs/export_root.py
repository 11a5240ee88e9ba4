"""The one folder below which jobs write: backups and exports, each in a folder that its job names."""

import os
from errno import ENOENT
from pathlib import Path
from stat import S_ISDIR
from typing import ClassVar

from service.jobs.errors import NotConfiguredError, UnusableDataError
from service.jobs.root_folder import RootFolder, name_of, shown


class ExportRoot(RootFolder):
    """Folders that jobs write; the rest is as in `RootFolder`."""

    setting: ClassVar[str] = "SANET_EXPORT_ROOT"
    purpose: ClassVar[str] = "below which jobs write"

    def __init__(self, folder: Path, data_dir: Path) -> None:
        """Takes the folder as it is now, beside the service's own data folder.

        Raises:
            ValueError: it is no folder, it cannot be written, or it lies in the data folder.
        """
        super().__init__(folder)
        self._data_dir = data_dir.resolve()
        if self._folder.is_relative_to(self._data_dir):
            raise ValueError(
                f"{self.setting}={str(folder)!r} lies in the data folder {str(data_dir)!r}, which a backup must "
                "outlive: set it to a folder elsewhere, better on another disk"
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ValueError(f"{self.setting}={str(folder)!r} cannot be written: set it to a folder that can")

    def folder_at(self, path: str) -> Path:
        """The absolute path of the folder that a job may make or fill; what is there of the way to it are folders.

        Args:
            path: as it was given; it leads below the root, not to the root itself.
        """
        wanted = self.path_below(path)
        if wanted == self._folder:
            raise UnusableDataError(f"{shown(path)} is {self.setting} itself: name a folder below it")
        if wanted.is_relative_to(self._data_dir):
            raise UnusableDataError(f"{shown(path)} lies in the service's data folder: name another folder")
        parts = wanted.relative_to(self._folder).parts
        for num_parts in range(1, len(parts) + 1):
            folder = self._folder.joinpath(*parts[:num_parts])
            try:
                mode = os.lstat(folder).st_mode
            except OSError as error:
                if error.errno == ENOENT:
                    break  # the job makes it
                raise UnusableDataError(f"{shown(path)} cannot be written: {error.strerror}") from None
            if not S_ISDIR(mode):
                what = "a file" if folder.is_file() and not folder.is_symlink() else name_of(mode)
                raise UnusableDataError(f"{self._shown(folder)} is {what}: a folder was expected")
        return wanted

    def require_no_links(self, folder: Path) -> None:
        """Returns if no link lies in a folder that `folder_at` gave: what is written there would land elsewhere."""
        for place, folders, files in os.walk(folder):
            for name in (*folders, *files):
                if (path := Path(place, name)).is_symlink():
                    raise UnusableDataError(f"{self._shown(path)} is a link, which is not followed: remove it")


def require_export_root(root: ExportRoot | None) -> ExportRoot:
    """The root, if this service has one.

    Raises:
        NotConfiguredError: it has none.
    """
    if root is None:
        raise NotConfiguredError(
            "this service writes no files for others: set SANET_EXPORT_ROOT to the folder below which jobs may write"
        )
    return root
