"""A file that a job adds to step by step: after a restart, what was written behind the last step is cut off."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self


class GrowingFile:
    """Bytes that are appended. To be used as a ``with`` block.

    Attributes:
        num_bytes: how long the file is; a job stores it as (a part of) its cursor after `sync`.
    """

    def __init__(self, path: Path, num_bytes: int) -> None:
        """Opens the file, or creates it, and cuts off what lies behind its first bytes.

        Args:
            path: of the file.
            num_bytes: of an earlier time; 0 begins anew.
        """
        self._file = path.open("r+b" if path.exists() else "w+b")
        self._file.truncate(num_bytes)
        self._file.seek(num_bytes)
        self.num_bytes = num_bytes

    def write(self, data: bytes) -> None:
        """Appends bytes."""
        self.num_bytes += self._file.write(data)

    def sync(self) -> None:
        """Brings what was written to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
