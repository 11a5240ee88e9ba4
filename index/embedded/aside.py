"""Where a repair puts what it cannot mend: nothing of a gallery is deleted because it is damaged."""

import base64
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Final

from index.embedded.disk import disk_errors, sync_folder

_BLOBS: Final = {"checksum", "embedding", "theta"}


class AsideFolder:
    """``DATA_DIR/damaged``: files under the paths that they had in the data folder, and rows as JSON lines."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._root = data_dir / "damaged"

    def move(self, path: Path) -> Path:
        """Moves a file of the data folder here; returns where it is now."""
        with disk_errors(self._root):
            target = self._free(path)
            path.replace(target)
            sync_folder(target.parent)
            sync_folder(path.parent)
        return target

    def copy(self, path: Path) -> Path:
        """Copies a file of the data folder here, durably; returns where the copy is."""
        with disk_errors(self._root):
            target = self._free(path)
            try:
                shutil.copyfile(path, target)
                with target.open("rb") as file:
                    os.fsync(file.fileno())
            except BaseException:
                target.unlink(missing_ok=True)
                raise
            sync_folder(target.parent)
        return target

    def write_rows(self, rows: Iterable[Mapping[str, object]]) -> Path:
        """Writes rows durably, one JSON object a line; what is no text or number is ``{"base64": ..}``."""
        name = f"records-{datetime.now(UTC).strftime('%Y%m%dT%H%M%SZ')}.jsonl"
        with disk_errors(self._root):
            target = self._free(self._data_dir / name)
            try:
                with target.open("w", encoding="utf-8") as file:
                    for row in rows:
                        file.write(json.dumps({name: _plain(name, value) for name, value in row.items()}) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
            except BaseException:
                target.unlink(missing_ok=True)
                raise
            sync_folder(target.parent)
        return target

    def _free(self, path: Path) -> Path:
        """A path here for a file of the data folder that nothing lies at yet."""
        wanted = self._root / path.relative_to(self._data_dir)
        wanted.parent.mkdir(parents=True, exist_ok=True)
        candidates = (wanted if number == 0 else wanted.with_name(f"{wanted.name}.{number}") for number in count())
        return next(candidate for candidate in candidates if not candidate.exists())


def _plain(name: str, value: object) -> object:
    if isinstance(value, bytes):
        if name not in _BLOBS:
            try:
                return value.decode()
            except UnicodeDecodeError:
                pass
        return {"base64": base64.b64encode(value).decode()}
    return value
