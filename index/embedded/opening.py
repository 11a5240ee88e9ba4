"""Opens the gallery of one machine: SQLite and image files in a folder, and rows in memory derived from them."""

from contextlib import ExitStack
from pathlib import Path

import filelock

from index.embedded.disk import disk_errors
from index.embedded.image_store import ImageStore
from index.embedded.memory_index import MemoryIndex
from index.embedded.record_store import SqliteRecordStore
from index.gallery.errors import GalleryError
from index.gallery.gallery import Gallery
from index.gallery.record import ModelKey
from model.cores import usable_cores


class GalleryLockedError(GalleryError):
    """Another process owns the data folder."""


def open_gallery(data_dir: Path, model: ModelKey, embedding_dim: int) -> Gallery:
    """Opens or creates a folder that one process owns, and loads the embeddings (D,) of `model`. Removes nothing.

    Raises:
        GalleryLockedError: another process has it open.
        GalleryError: another version of this program wrote it, or it cannot be read or written.
    """
    # A step that fails closes what the steps before it have opened.
    with ExitStack() as opened, disk_errors(data_dir):
        data_dir.mkdir(parents=True, exist_ok=True)
        opened.callback(_own(data_dir).release)
        files = ImageStore(data_dir / "images", data_dir / "trash")
        store = SqliteRecordStore(data_dir / "gallery.sqlite", may_create=files.is_empty())
        opened.callback(store.close)
        files.discard_unfinished()
        index = MemoryIndex(embedding_dim, usable_cores())
        opened.callback(index.close)
        return Gallery(store, index, files, model, embedding_dim, opened)


def _own(data_dir: Path) -> filelock.BaseFileLock:
    """The lock of the one process that owns the folder."""
    owner = filelock.FileLock(data_dir / "gallery.lock", thread_local=False)
    try:
        owner.acquire(timeout=0)
    except filelock.Timeout:
        raise GalleryLockedError(
            f"another process has the gallery in {data_dir} open: stop it, or use another data folder"
        ) from None
    return owner
