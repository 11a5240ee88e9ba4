"""Where image files go when their last record is deleted: kept by date, until somebody empties it."""

import shutil
from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from index.embedded.disk import disk_errors
from index.gallery.record import content_hash


class ImageTrash:
    """``<root>/2026-11-26/images/ab/abcdef..``: a day's folder holds what a folder of images held, under its names.

    It lies on the file system of the images, so that a file moves there whole or not at all.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def throw(self, path: Path) -> None:
        """Moves a file of the images into the folder of today (UTC); an intact copy that is there already stays."""
        today = self._root / datetime.now(UTC).date().isoformat()
        target = today / "images" / path.parent.name / path.name
        with disk_errors(self._root):
            if _is_intact(target):
                path.unlink(missing_ok=True)
                return
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)

    def take_back(self, content: str, path: Path) -> bool:
        """Moves an intact copy of an image to `path`; False if there is none."""
        with disk_errors(self._root):
            for _, day in sorted(self._days(), reverse=True):
                copy = day / "images" / content[:2] / content
                if _is_intact(copy):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    copy.replace(path)
                    return True
        return False

    def contents(self, older_than: timedelta, shelf: str = "*") -> set[str]:
        """The names of the files that came here more than this time ago, to the day; of all shelves, or of one."""
        return {path.name for day in self._expired(older_than) for path in day.glob(f"images/{shelf}/*")}

    def empty(self, older_than: timedelta, kept: Collection[str] = (), shelf: str = "*") -> int:
        """Removes for good what came here more than this time ago, to the day; returns how many files.

        Files whose names are in `kept` stay. A shelf is the first two digits of a name: one after the other, they
        empty the trash in small steps.
        """
        num_removed = 0
        with disk_errors(self._root):
            for day in self._expired(older_than):
                for path in day.glob(f"images/{shelf}/*"):
                    if path.name not in kept:
                        path.unlink()
                        num_removed += 1
                if not any(day.glob("images/*/*")):
                    shutil.rmtree(day)
        return num_removed

    def _expired(self, older_than: timedelta) -> list[Path]:
        last_day = (datetime.now(UTC) - older_than).date()
        return [folder for day, folder in self._days() if day <= last_day]

    def _days(self) -> Iterator[tuple[date, Path]]:
        for folder in self._root.glob("????-??-??"):
            try:
                day = date.fromisoformat(folder.name)
            except ValueError:
                continue  # not ours
            yield day, folder


def _is_intact(path: Path) -> bool:
    try:
        return content_hash(path.read_bytes()) == path.name
    except FileNotFoundError:
        return False
