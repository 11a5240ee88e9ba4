"""The snapshot of an index's rows: what is new is written behind what is there, and read back at the next start."""

import errno
import logging
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from index.embedded.index_sizes import IndexSizes
from index.embedded.search.folding import Folding, num_directions
from index.embedded.search.row_block import RowBlock
from index.embedded.search.rows import Rows
from index.embedded.snapshot.array_file import DamagedFileError, read_arrays, write_arrays
from index.embedded.snapshot.block_arrays import arrays_of
from index.embedded.snapshot.folder import SnapshotFolder
from index.embedded.snapshot.loading import load_blocks
from index.embedded.snapshot.manifest import (
    KINDS,
    Kind,
    MadeFor,
    Manifest,
    Piece,
    SavedBlock,
    SavedFolding,
    num_rows_of,
)
from index.gallery.record import ModelKey
from index.gallery.record_store import RecordStore

_LOG = logging.getLogger(__name__)


class Loaded(NamedTuple):
    """The rows that a snapshot had.

    Attributes:
        blocks: in order; those without folded vectors wait to be folded.
        refold_at: so many rows make the index learn its next folding.
        is_whole: whether all of it is as it was saved, so that nothing needs to be saved anew.
    """

    blocks: tuple[Rows, ...]
    folding: Folding | None
    refold_at: int
    is_whole: bool


class Snapshot:
    """A folder with the embeddings and folded vectors of a model's rows. Used by one thread at a time.

    Its files are never changed. A save writes one for each kind of what a block has more than the last time, and then
    the manifest, which is replaced as a whole: whenever the process dies, one of the two manifests counts.

    Attributes:
        problems: what was found damaged or missing when it was loaded, in words.
        is_there: whether it was loaded or saved since this object was made.
    """

    def __init__(self, folder: Path, model: ModelKey, dim: int, sizes: IndexSizes) -> None:
        """Of rows (N, `dim`) that `model` made, in blocks as the sizes say. Reads nothing yet."""
        self._path = folder
        self._folder = SnapshotFolder(folder)
        self._model = model
        self._made_for = MadeFor(model.fingerprint, model.precision, dim, sizes.block_rows)
        self._left_free_bytes = sizes.left_free_bytes
        self.problems: list[str] = []
        self.is_there = False
        # What is on disk of the blocks that are still in use; their folded vectors by this folding.
        self._saved: WeakKeyDictionary[RowBlock, SavedBlock] = WeakKeyDictionary()
        self._folding: tuple[Folding, SavedFolding] | None = None

    def load(self, store: RecordStore, num_threads: int) -> Loaded | None:
        """The rows of the snapshot that the store has a record for; None if there is none of this model.

        What is damaged, missing, or not what the store says is made anew from the records. Fields are the store's.

        Raises:
            GalleryError: the store cannot be read.
        """
        try:
            manifest = self._folder.read_manifest()
        except DamagedFileError as error:
            self._note(error)
            return None
        if manifest is None or manifest.made_for != self._made_for:
            return None
        self.is_there = True
        folding = self._read_folding(manifest.folding)
        blocks, damage = load_blocks(self._folder.path, manifest, folding, store, self._model, num_threads)
        for found in damage:
            self._note(found)
        for rows, saved in blocks:
            if saved is not None:
                self._saved[rows.block] = saved
        is_whole = not self.problems and all(saved is not None for _, saved in blocks)
        return Loaded(tuple(rows for rows, _ in blocks), folding, manifest.refold_at, is_whole)

    def num_unsaved(self, blocks: Sequence[Rows]) -> int:
        """How many rows of the blocks are not on disk."""
        nothing = SavedBlock(0)
        return sum(rows.num_rows - self._saved.get(rows.block, nothing).num_rows for rows in blocks)

    def save(self, blocks: Sequence[Rows], folding: Folding | None, refold_at: int) -> None:
        """Makes the blocks the snapshot, with the folded vectors of those that are folded by `folding`.

        Their rows do not change meanwhile; further ones may be added.

        Raises:
            OSError: it cannot be written. The snapshot is the one before, or the new one.
        """
        blocks = [rows for rows in blocks if rows.num_rows]
        try:
            self._folder.remove_unnamed()
            self._require_room(sum(_num_bytes(rows.block, *new) for rows in blocks for new in self._new(rows, folding)))
            saved_folding = None if folding is None else self._save_folding(folding)
            saved = {rows.block: self._save_block(rows, folding) for rows in blocks}
            of_folding = None if saved_folding is None else saved_folding[1]
            self._folder.put_manifest(Manifest(self._made_for, refold_at, of_folding, tuple(saved.values())))
        except OSError:
            with suppress(OSError):
                self._folder.remove_unnamed()
            raise
        self._saved, self._folding, self.is_there = WeakKeyDictionary(saved), saved_folding, True
        self._folder.remove_unnamed()

    def _on_disk(self, rows: Rows, folding: Folding | None) -> SavedBlock:
        """What the disk has of a block, its folded vectors only if they are by this folding."""
        saved = self._saved.get(rows.block, SavedBlock(0))
        if self._folding is None or self._folding[0] is not folding:
            saved = replace(saved, folded=())
        return saved

    def _new(self, rows: Rows, folding: Folding | None) -> list[tuple[Kind, int, int]]:
        """Kind, start and stop of what the disk lacks of a block."""
        saved = self._on_disk(rows, folding)
        folded = rows.block.folded
        kinds = [kind for kind in KINDS if kind != "folded" or (folded is not None and folded.folding is folding)]
        starts = [num_rows_of(saved.pieces_of(kind)) for kind in kinds]
        return [
            (kind, start, rows.num_rows) for kind, start in zip(kinds, starts, strict=True) if start < rows.num_rows
        ]

    def _save_block(self, rows: Rows, folding: Folding | None) -> SavedBlock:
        saved = replace(self._on_disk(rows, folding), last_seq=int(rows.seqs[-1]))
        for kind, start, stop in self._new(rows, folding):
            path = self._folder.new_path(kind)
            checksum = write_arrays(path, arrays_of(rows.block, kind, start, stop))
            pieces = (*saved.pieces_of(kind), Piece(stop - start, path.name, checksum))
            saved = saved.with_pieces(kind, pieces)
        return saved

    def _save_folding(self, folding: Folding) -> tuple[Folding, SavedFolding]:
        if self._folding is not None and self._folding[0] is folding:
            return self._folding
        path = self._folder.new_path("folding")
        checksum = write_arrays(path, [folding.centre, folding.directions])
        return folding, SavedFolding(folding.directions.shape[1], path.name, checksum)

    def _read_folding(self, saved: SavedFolding | None) -> Folding | None:
        # An earlier version's may have more directions and take more memory: a new one is learned from the vectors.
        if saved is None or saved.num_directions != num_directions(self._made_for.dim):
            return None
        centre = np.empty(self._made_for.dim)
        directions = np.empty((self._made_for.dim, saved.num_directions))
        try:
            read_arrays(self._folder.path(saved.name), [centre, directions], saved.checksum)
        except DamagedFileError as error:
            self._note(error)
            return None
        folding = Folding(centre, directions)
        self._folding = folding, saved
        return folding

    def _require_room(self, num_bytes: int) -> None:
        free = shutil.disk_usage(self._path.parent).free
        left_free = self._left_free_bytes
        if free < num_bytes + left_free:
            raise OSError(
                errno.ENOSPC,
                f"it needs {num_bytes} bytes, the records are left {left_free}, and {free} are free on the disk",
            )

    def _note(self, damage: DamagedFileError) -> None:
        self._folder.set_aside(damage.path)
        self.problems.append(str(damage))
        _LOG.error("the snapshot of the index is damaged, and its rows are read from the records: %s", damage)


def _num_bytes(block: RowBlock, kind: Kind, start: int, stop: int) -> int:
    return sum(array.nbytes for array in arrays_of(block, kind, start, stop))
