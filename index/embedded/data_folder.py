"""The folder of a gallery: what lies where, and the lock of the one process that owns it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import filelock

from index.embedded.disk import disk_errors
from index.gallery.errors import GalleryError

DATABASE: Final = "gallery.sqlite"
LOCK: Final = "gallery.lock"
CONVERTED: Final = "converted"  # where the container keeps networks: SANET_CACHE_DIR
SNAPSHOT: Final = "snapshot"


class GalleryLockedError(GalleryError):
    """Another process owns the data folder."""


@contextmanager
def owned(data_dir: Path) -> Iterator[None]:
    """Owns an existing data folder while the block runs.

    Raises:
        GalleryLockedError: another process has it open.
        GalleryError: it cannot be read or written.
    """
    busy = GalleryLockedError(
        f"another process has the gallery in {data_dir} open: stop it, or use another data folder"
    )
    with held(data_dir / LOCK, busy):
        yield


@contextmanager
def held(lock: Path, busy: GalleryError) -> Iterator[None]:
    """Holds a lock file, in a folder that is there, while the block runs.

    Raises:
        GalleryError: `busy` if another process holds it; or it cannot be written.
    """
    owner = filelock.FileLock(lock, thread_local=False)
    with disk_errors(lock.parent):
        try:
            owner.acquire(timeout=0)
        except filelock.Timeout:
            raise busy from None
    try:
        yield
    finally:
        owner.release()
