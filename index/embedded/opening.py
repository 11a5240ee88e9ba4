"""Opens the gallery of one machine: SQLite and image files in a folder, and rows in memory derived from them."""

from contextlib import ExitStack
from pathlib import Path
from typing import Final

from index.embedded.data_folder import DATABASE, SNAPSHOT, owned
from index.embedded.disk import disk_errors
from index.embedded.images.image_store import ImageStore
from index.embedded.index_sizes import IndexSizes
from index.embedded.records.record_store import SqliteRecordStore
from index.embedded.search.certified_search import Scan
from index.embedded.search.memory_index import MemoryIndex
from index.embedded.search.row_blocks import RowBlocks
from index.embedded.snapshot.snapshot import Snapshot
from index.gallery.gallery import Gallery
from index.gallery.record import ModelKey
from model.cores import usable_cores

_SIZES: Final = IndexSizes()


def open_gallery(
    data_dir: Path,
    model: ModelKey,
    embedding_dim: int,
    sizes: IndexSizes = _SIZES,
    scan: Scan | None = None,
) -> Gallery:
    """Opens or creates a folder that one process owns, and loads the embeddings (D,) of `model`. Removes nothing.

    With a `scan` its device searches what of the gallery it has room for; the answers are the same.
    Another `block_rows` than the last time makes the snapshot of no use; everything else may differ.

    Raises:
        GalleryLockedError: another process has it open.
        GalleryError: another version of this program wrote it, or it cannot be read or written.
    """
    # A step that fails closes what the steps before it have opened.
    with ExitStack() as opened, disk_errors(data_dir):
        data_dir.mkdir(parents=True, exist_ok=True)
        opened.enter_context(owned(data_dir))
        files = ImageStore(data_dir / "images", data_dir / "trash")
        store = SqliteRecordStore(data_dir / DATABASE, may_create=files.is_empty())
        opened.callback(store.close)
        files.discard_unfinished()
        snapshot = Snapshot(data_dir / SNAPSHOT, model, embedding_dim, sizes)
        index = MemoryIndex(RowBlocks(embedding_dim, usable_cores(), sizes, snapshot, scan))
        opened.callback(index.close)
        index.restore(store)
        return Gallery(store, index, files, model, embedding_dim, opened)
