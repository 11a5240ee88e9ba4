"""Opens the gallery of one machine: SQLite and image files in a folder, and rows in memory derived from them."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Final

from index.embedded.data_folder import DATABASE, SNAPSHOT, owned
from index.embedded.disk import disk_errors
from index.embedded.generation import current_folder
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
    undo_for: timedelta = timedelta(0),
) -> Gallery:
    """Opens or creates a folder that one process owns, and loads the embeddings (D,) of `model`. Removes nothing.

    With a `scan` its device searches what of the gallery it has room for; the answers are the same.
    Another `block_rows` than the last time makes the snapshot of no use; everything else may differ.
    Deletions can be undone for `undo_for`.

    Raises:
        GalleryLockedError: another process has it open.
        GalleryError: another version of this program wrote it, or it cannot be read or written.
    """
    # A step that fails closes what the steps before it have opened.
    with ExitStack() as opened, disk_errors(data_dir):
        data_dir.mkdir(parents=True, exist_ok=True)
        opened.enter_context(owned(data_dir))
        parts = GalleryParts(opened, data_dir, current_folder(data_dir), model, embedding_dim, sizes, scan)
        return parts.gallery(undo_for)


def open_generation(
    data_dir: Path, model: ModelKey, embedding_dim: int, *, scan: Scan | None, undo_for: timedelta
) -> Gallery:
    """As `open_gallery`, of a folder that the caller owns already, and releases when it has closed the gallery.

    Raises:
        GalleryError: as `open_gallery`.
    """
    with ExitStack() as opened, disk_errors(data_dir):
        parts = GalleryParts(opened, data_dir, current_folder(data_dir), model, embedding_dim, scan=scan)
        return parts.gallery(undo_for)


class GalleryParts:
    """What a gallery of one machine stands on: the records of one generation, their index, and the images of all."""

    def __init__(
        self,
        opened: ExitStack,
        data_dir: Path,
        folder: Path,
        model: ModelKey,
        embedding_dim: int,
        sizes: IndexSizes = _SIZES,
        scan: Scan | None = None,
        *,
        cleans_up: bool = True,
    ) -> None:
        """Opens them, with the rows of the snapshot in the index.

        Args:
            opened: closes them; what is in it already is closed after them.
            data_dir: which the caller owns.
            folder: of the generation.
            model: whose embeddings are searched.
            embedding_dim: D.
            sizes: of the index.
            scan: searches for it what it has room for.
            cleans_up: no other gallery of the folder is open, so that an unfinished image is what a crash left.
        """
        self._opened, self._model, self._embedding_dim = opened, model, embedding_dim
        self._files = ImageStore(data_dir / "images", data_dir / "trash")
        self.store = SqliteRecordStore(folder / DATABASE, may_create=self._files.is_empty(), checks_indexes=False)
        opened.callback(self.store.close)
        if cleans_up:
            self._files.discard_unfinished()
        snapshot = Snapshot(folder / SNAPSHOT, model, embedding_dim, sizes)
        self.index = MemoryIndex(RowBlocks(embedding_dim, usable_cores(), sizes, snapshot, scan))
        opened.callback(self.index.close)
        # Both read all records, but the rows are brought back without an index of the database.
        with ThreadPoolExecutor(1, "check-indexes") as threads:
            checked = threads.submit(self.store.repair_indexes)
            self.index.restore(self.store)
        checked.result()

    def gallery(self, undo_for: timedelta) -> Gallery:
        """The gallery, which closes them."""
        return Gallery(self.store, self.index, self._files, self._model, self._embedding_dim, self._opened, undo_for)
