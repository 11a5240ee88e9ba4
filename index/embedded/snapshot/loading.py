"""The way of a snapshot's blocks into memory: threads fill their arrays while the store says what each row is."""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import compress, islice, takewhile
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from index.embedded.search.folding import Folding
from index.embedded.search.row_block import RowBlock
from index.embedded.search.rows import Rows, with_rows
from index.embedded.snapshot.array_file import DamagedFileError, read_arrays
from index.embedded.snapshot.block_arrays import arrays_of
from index.embedded.snapshot.manifest import KINDS, Kind, Manifest, SavedBlock
from index.gallery.fields import Fields
from index.gallery.record import ModelKey
from index.gallery.record_store import RecordStore
from index.gallery.timestamp import microseconds

_LOG = logging.getLogger(__name__)

# Records that are read at once: 10 MB of embeddings, where these are read.
_CHUNK: Final = 1024

PathOf = Callable[[str], Path]
"""Finds a file of the snapshot by its name."""


class LoadedBlock(NamedTuple):
    """A block, and what of it the disk has; None for one that was made anew from the records."""

    rows: Rows
    saved: SavedBlock | None


class _Loading(NamedTuple):
    """A block whose arrays are being filled; its records lie behind the seq `after`."""

    saved: SavedBlock
    after: int
    block: RowBlock
    filling: dict[Kind, Future[None]]

    def damage(self, *kinds: Kind) -> list[DamagedFileError]:
        """What was found in its files of some kinds, as soon as they have been read."""
        found = []
        for kind in self.filling.keys() & kinds:
            try:
                self.filling[kind].result()
            except DamagedFileError as error:
                found.append(error)
        return found


def load_blocks(
    path_of: PathOf,
    manifest: Manifest,
    folding: Folding | None,
    store: RecordStore,
    model: ModelKey,
    num_threads: int,
) -> tuple[list[LoadedBlock], list[DamagedFileError]]:
    """The manifest's blocks in order, and what was found damaged in their files.

    A row without a record is dead. A block whose files are damaged, or that has other rows than the store has records
    of the model, comes anew from the records: as several blocks or none where these are more or fewer. A block of which
    nothing but the folded vectors is damaged has none; nor has any without `folding`, which is that of the manifest.

    Raises:
        GalleryError: the store cannot be read.
    """

    def new_block() -> RowBlock:
        return RowBlock(manifest.made_for.dim, manifest.made_for.block_rows, folding)

    damage: list[DamagedFileError] = []
    loaded: list[LoadedBlock] = []
    num_strange = 0
    with ThreadPoolExecutor(num_threads, "load-snapshot") as threads:
        loading = _begin(threads, path_of, manifest.blocks, new_block)
        try:
            rows_of = deque(_borne_out(one, store, model) for one in loading)
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    while loading:
        one, rows = loading.popleft(), rows_of.popleft()
        damage += one.damage(*KINDS)
        saved, after = one.saved, one.after
        if one.damage("keys", "vectors") or rows is None:
            num_strange += not one.damage("keys", "vectors")
            del one, rows  # makes room for the new ones
            anew = _from_records(store, model, after, saved.last_seq, new_block)
            loaded += [LoadedBlock(rows, None) for rows in anew]
        elif one.damage("folded"):
            rows.block.folded = None
            loaded.append(LoadedBlock(rows, replace(saved, folded=())))
        else:
            loaded.append(LoadedBlock(rows, saved))
    if num_strange:
        _LOG.warning(
            "%d blocks of the snapshot have other rows than gallery.sqlite has records, as after an older one was "
            "restored: they are made anew from the records",
            num_strange,
        )
    return loaded, damage


def _begin(
    threads: ThreadPoolExecutor, path_of: PathOf, saved_blocks: Sequence[SavedBlock], new_block: Callable[[], RowBlock]
) -> deque[_Loading]:
    """Blocks that threads fill from their files; the keys first, which are few bytes."""
    loading: deque[_Loading] = deque()
    after = 0
    for saved in saved_blocks:
        block = new_block()
        if not saved.folded:
            block.folded = None
        loading.append(_Loading(saved, after, block, {}))
        after = saved.last_seq
    for kind in KINDS:
        for one in loading:
            if kind != "folded" or one.block.folded is not None:
                one.filling[kind] = threads.submit(_fill, path_of, one.block, kind, one.saved)
    return loading


def _fill(path_of: PathOf, block: RowBlock, kind: Kind, saved: SavedBlock) -> None:
    start = 0
    for piece in saved.pieces_of(kind):
        stop = start + piece.num_rows
        read_arrays(path_of(piece.name), arrays_of(block, kind, start, stop), piece.checksum)
        start = stop


def _borne_out(one: _Loading, store: RecordStore, model: ModelKey) -> Rows | None:
    """The rows of a block, with the fields that their records have now; None if they are not the store's."""
    block, last, num_rows = one.block, one.saved.last_seq, one.saved.num_rows
    # Rows behind the last seq that the store has given are a newer database's, and it will give their seqs to others.
    if one.damage("keys") or last > store.last_seq:
        return None
    rows = Rows.none_yet(block)._replace(num_rows=num_rows)
    rows.alive[:num_rows] = False
    num_filled = 0
    records = takewhile(lambda row: row.seq <= last, store.rows_after(one.after, model))
    while chunk := list(islice(records, _CHUNK)):
        seqs, ids, enrolled_us, fields = zip(*chunk, strict=True)
        positions = rows.positions(np.array(seqs, np.int64))
        known = positions >= 0
        at = positions[known]
        # A record may have been enrolled anew after an older database was restored: the time tells embeddings apart.
        same_ids = block.ids[at] == np.array([id_.encode() for id_ in ids], "S32")[known]
        same_times = block.enrolled_at[at] == np.array(enrolled_us, np.int64)[known]
        if not (same_ids.all() and same_times.all()):
            return None
        # The index lacks records that were damaged when it read them; any others it should have.
        if any(store.records_at([seq]) for seq in compress(seqs, ~known)):
            return None
        rows.alive[at] = True
        stop = max(at.tolist(), default=num_filled - 1) + 1
        fields_of_rows = [Fields()] * (stop - num_filled)
        for row, of_record in zip(at.tolist(), compress(fields, known), strict=True):
            fields_of_rows[row - num_filled] = of_record
        block.columns.put(num_filled, fields_of_rows)
        num_filled = stop
    block.columns.put(num_filled, [Fields()] * (num_rows - num_filled))
    return rows._replace(num_dead=num_rows - int(np.count_nonzero(rows.alive[:num_rows])))


def _from_records(
    store: RecordStore, model: ModelKey, after: int, last: int, new_block: Callable[[], RowBlock]
) -> tuple[Rows, ...]:
    """Blocks of the model's records behind the seq `after`, up to `last`."""
    blocks: tuple[Rows, ...] = ()
    records = takewhile(lambda item: item[0] <= last, store.records_after(after, model))
    while chunk := list(islice(records, _CHUNK)):
        blocks = with_rows(
            blocks,
            new_block,
            np.stack([record.embedding for _, record in chunk]),
            np.array([seq for seq, _ in chunk], np.int64),
            np.array([record.id for _, record in chunk], "S32"),
            [record.fields for _, record in chunk],
            np.array([microseconds(record.enrolled_at) for _, record in chunk], np.int64),
        )
    return blocks
