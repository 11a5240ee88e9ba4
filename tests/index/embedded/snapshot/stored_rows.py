"""Row blocks with a snapshot, above records in dictionaries."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from index.embedded.index_sizes import IndexSizes
from index.embedded.search.row_blocks import RowBlocks
from index.embedded.snapshot.snapshot import Snapshot
from index.gallery.filters import Filter
from index.gallery.record import ModelKey, Record
from index.gallery.timestamp import microseconds
from tests.index.gallery.memory_backend import DictStore, NumpyIndex
from tests.index.records import MODEL, record, vector

BLOCK_ROWS: Final = 20
# With which a few rows are folded and saved as many are.
SIZES: Final = IndexSizes(BLOCK_ROWS, first_folding=16, folding_growth=3, sample_rows=32, first_save=8, fewest_saved=1)
# Some more than the coarse part of a folded vector has.
DIM: Final = 130


def one(seed: int, identity: str | None = "a", dim: int = DIM, model: ModelKey = MODEL) -> Record:
    return record(seed, embedding=vector(seed, dim), model=model, identity=identity)


class StoredRows:
    """The records, which outlive every opening, and the folder of the snapshot."""

    def __init__(self, folder: Path, model: ModelKey = MODEL, dim: int = DIM, sizes: IndexSizes = SIZES) -> None:
        self.folder, self.model, self.dim, self.sizes = folder / "snapshot", model, dim, sizes
        self.store = DictStore()

    def open(self) -> RowBlocks:
        """The index, with what it lacks brought into it; the test closes it."""
        blocks = RowBlocks(self.dim, 2, self.sizes, Snapshot(self.folder, self.model, self.dim, self.sizes))
        blocks.restore(self.store)
        self.catch_up(blocks)
        return blocks

    @contextmanager
    def opened(self) -> Iterator[RowBlocks]:
        blocks = self.open()
        try:
            yield blocks
        finally:
            blocks.close()

    def catch_up(self, blocks: RowBlocks) -> None:
        records = list(self.store.records_after(blocks.last_seq, self.model))
        if records:
            blocks.add(
                np.stack([record.embedding for _, record in records]),
                [seq for seq, _ in records],
                [record.id for _, record in records],
                [record.fields for _, record in records],
                [microseconds(record.enrolled_at) for _, record in records],
            )

    def enrol(self, blocks: RowBlocks, records: Iterable[Record]) -> None:
        with self.store.transaction() as writer:
            for record in records:
                writer.insert(record)
        self.catch_up(blocks)

    def delete(self, blocks: RowBlocks, seqs: Sequence[int]) -> None:
        with self.store.transaction() as writer:
            writer.delete(seqs)
        blocks.remove(seqs)

    def assert_right(self, blocks: RowBlocks) -> None:
        """The rows are the records of the model that are intact, each with its own embedding, and are found."""
        truth = dict(self.store.records_after(0, self.model))
        rows = rows_of(blocks)
        assert sorted(rows) == sorted(truth)
        assert len(blocks) == len(truth)
        for seq, expected in truth.items():
            id_, embedding, identity = rows[seq]
            assert id_ == expected.id
            assert embedding == expected.embedding.tobytes()
            assert identity == (-1 if expected.fields.identity is None else hash(expected.fields.identity))
        assert blocks.last_seq <= self.store.last_seq
        naive = NumpyIndex()
        naive.add(sorted(truth.items()))
        query = vector(77, self.dim)[None]
        for found, nearest in zip(blocks.search(query, 9), naive.search(query, 9, Filter()), strict=True):
            assert found.seq.tolist() == nearest.seq.tolist()
            np.testing.assert_allclose(found.distance, nearest.distance, rtol=1e-12)


def rows_of(blocks: RowBlocks) -> dict[int, tuple[str, bytes, int]]:
    """By seq of the living rows: id, embedding and the code of the identity."""
    rows = {}
    for of_block in blocks._blocks:
        block = of_block.block
        for row in np.flatnonzero(of_block.alive[: of_block.num_rows]).tolist():
            identity = int(block.columns.identity[row])
            rows[int(block.seqs[row])] = (block.ids[row].decode(), block.vectors[row].tobytes(), identity)
    return rows


def folded_of(blocks: RowBlocks) -> dict[int, tuple[bytes, ...]]:
    """By seq of all rows: the folded vectors and the squares of their bounds; empty where there are none."""
    folded: dict[int, tuple[bytes, ...]] = {}
    for of_block in blocks._blocks:
        block = of_block.block
        for row in range(of_block.num_rows):
            arrays = [block.whole.squares]
            if block.folded is not None:
                arrays += [block.folded.coarse_vectors, block.folded.fine_vectors]
                arrays += [block.folded.coarse.squares, block.folded.fine.squares]
            folded[int(block.seqs[row])] = tuple(array[row].tobytes() for array in arrays)
    return folded


def files(folder: Path) -> dict[str, bytes]:
    """The snapshot's files, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}
