"""How large the data folder is, measured in the background: a scrape must not walk a million files."""

import logging
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.jobs.background import step_back

_LOG = logging.getLogger(__name__)

PARTS: Final = ("database", "images", "index", "trash", "jobs", "checkpoints", "other")

_EVERY_S: Final = 60.0
# A million files take many seconds: then it is measured less often.
_SHARE_OF_TIME: Final = 0.01
_CLOSE_S: Final = 1.0

_FOLDERS: Final = {
    "images": "images",
    "trash": "trash",
    "snapshot": "index",
    "jobs": "jobs",
    "checkpoints": "checkpoints",
}
_DATABASES: Final = {"gallery.sqlite": "database", "jobs.sqlite": "jobs"}


@dataclass(frozen=True)
class Measured:
    """One measurement.

    Attributes:
        num_bytes: of the files of each of `PARTS`, by their lengths.
        ended_at: when it ended, in seconds since 1970.
    """

    num_bytes: dict[str, int]
    ended_at: float


class DiskUsage:
    """Measures a data folder in a thread of the lowest priority, every minute, or less often where it is large.

    Attributes:
        data_dir: the folder.
        latest: the last measurement; None before the first has ended.
    """

    def __init__(self, data_dir: Path) -> None:
        self.latest: Measured | None = None
        self.data_dir = data_dir
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="disk-usage", daemon=True)

    def start(self) -> None:
        """Begins with the first measurement."""
        self._thread.start()

    def stop(self) -> None:
        """Ends at the next folder."""
        self._stopping.set()
        self._thread.join(_CLOSE_S)

    def measure(self) -> Measured | None:
        """Measures now; None if there is no such folder yet, or if it was stopped meanwhile."""
        if not self.data_dir.is_dir():
            return None
        num_bytes = Counter(dict.fromkeys(PARTS, 0))
        for folder, folders, files in os.walk(self.data_dir):
            if self._stopping.is_set():
                return None
            folders.sort()
            part = _part_of(Path(folder).relative_to(self.data_dir))
            for file in files:
                num_bytes[part or _part_of_top(file)] += _length(f"{folder}/{file}")
        return Measured(dict(num_bytes), time.time())

    def _run(self) -> None:
        step_back()
        while not self._stopping.is_set():
            start = time.monotonic()
            try:
                self.latest = self.measure() or self.latest
            except OSError as error:  # its age tells
                _LOG.warning("the size of %s cannot be measured: %s", self.data_dir, error)
            self._stopping.wait(max(_EVERY_S, (time.monotonic() - start) / _SHARE_OF_TIME))


def _part_of(folder: Path) -> str | None:
    """What all files in a folder belong to; None where each has to be looked at. `folder` is relative to the data."""
    # A gallery of another model has its database and index in a folder of its own.
    parts = folder.parts[2:] if folder.parts[:1] == ("generations",) else folder.parts
    return _FOLDERS.get(parts[0], "other") if parts else None


def _part_of_top(name: str) -> str:
    return next((part for database, part in _DATABASES.items() if name.startswith(database)), "other")


def _length(path: str) -> int:
    try:
        return os.stat(path, follow_symlinks=False).st_size  # noqa: PTH116
    except FileNotFoundError:  # it was deleted meanwhile
        return 0
