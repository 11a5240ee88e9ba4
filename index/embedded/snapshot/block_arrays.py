"""What of a block's rows is kept in which file: only what never changes once a row is there."""

from typing import Any

from numpy.typing import NDArray

from index.embedded.search.row_block import Folded, RowBlock
from index.embedded.snapshot.manifest import Kind


def arrays_of(block: RowBlock, kind: Kind, start: int, stop: int) -> list[NDArray[Any]]:
    """Views of the rows from `start` to `stop`, contiguous, in the order of the file."""
    rows = slice(start, stop)
    if kind == "keys":
        return [block.seqs[rows], block.ids[rows], block.enrolled_at[rows]]
    if kind == "vectors":
        return [block.whole.squares[rows], block.vectors[rows]]
    folded = _folded(block)
    return [
        folded.coarse.squares[rows],
        folded.coarse_vectors[rows],
        folded.fine.squares[rows],
        folded.fine_vectors[rows],
    ]


def _folded(block: RowBlock) -> Folded:
    if block.folded is None:
        raise ValueError("the block has no folded vectors")
    return block.folded
