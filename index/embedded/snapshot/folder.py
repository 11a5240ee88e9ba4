"""The folder of a snapshot: files that never change, and the manifest that names those which count."""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from index.embedded.disk import sync_folder
from index.embedded.snapshot.array_file import DamagedFileError
from index.embedded.snapshot.manifest import Manifest, ManifestError

_NAME: Final = re.compile(r"([0-9]+)\.[a-z]+")


class SnapshotFolder:
    """Files by number and kind, such as ``000017.vectors``; a number is used once. Made when something is put into it.

    Whatever happens to a process that writes: a file is named by the manifest only when it is on disk, and removed only
    when the manifest that no longer names it is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._manifest = path / "manifest.json"
        # What the manifest on disk may name.
        self._named: set[str] = set()

    def path(self, name: str) -> Path:
        """Of a file with this name."""
        return self._path / name

    def read_manifest(self) -> Manifest | None:
        """The manifest; None if there is none, or one that another version of this program wrote.

        Raises:
            DamagedFileError: it cannot be read, or is not as it was written.
        """
        try:
            manifest = Manifest.from_json(self._manifest.read_bytes().decode())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DamagedFileError(self._manifest, f"cannot be read: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise DamagedFileError(self._manifest, "is no text") from error
        except ManifestError as error:
            raise DamagedFileError(self._manifest, str(error)) from error
        if manifest is not None:
            self._named = manifest.names
        return manifest

    def put_manifest(self, manifest: Manifest) -> None:
        """Replaces the manifest as a whole; it is on disk when this returns.

        Raises:
            OSError: it cannot be written; on disk is the old one or the new one.
        """
        beside = self._manifest.with_suffix(".tmp")
        # The names of the new files, before the manifest that needs them.
        sync_folder(self._path)
        with beside.open("w", encoding="utf-8") as file:
            file.write(manifest.to_json())
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._manifest)
        # Until its name is on disk too, a power cut may bring the old one back.
        self._named |= manifest.names
        sync_folder(self._path)
        self._named = manifest.names

    def new_path(self, kind: str) -> Path:
        """For a new file. The folder is made if there is none."""
        if not self._path.exists():
            self._path.mkdir()
            sync_folder(self._path.parent)
        return self._path / f"{max(self._numbers().values(), default=0) + 1:06d}.{kind}"

    def remove_unnamed(self) -> None:
        """Removes what saves left that came to no end, and what the newest manifest no longer names."""
        for name in self._numbers().keys() - self._named:
            with suppress(IsADirectoryError):  # somebody else's
                self.path(name).unlink(missing_ok=True)

    def set_aside(self, path: Path) -> None:
        """Renames a damaged file for someone to look at; the last one of its kind is kept, as far as the disk lets."""
        with suppress(OSError):
            path.replace(path.with_name(f"{path.suffix[1:]}.damaged" if path != self._manifest else "manifest.damaged"))

    def _numbers(self) -> dict[str, int]:
        """By name, the numbers of all files that are the snapshot's."""
        if not self._path.exists():
            return {}
        found = (_NAME.fullmatch(path.name) for path in self._path.iterdir())
        return {match[0]: int(match[1]) for match in found if match}
