"""From how many rows on an index does what: the numbers that a gallery of a million records wants."""

from dataclasses import dataclass

from index.embedded.search.inverted_index import NUM_ROWS


@dataclass(frozen=True)
class IndexSizes:
    """Numbers of rows, and the room on the disk. With small ones, a few records go all ways that a million go.

    Attributes:
        block_rows: of a block, at most `NUM_ROWS`.
        first_folding: a folding is learned when there are so many rows ..
        folding_growth: .. and anew whenever there are so many times more ..
        sample_rows: .. from about so many of them.
        first_save: a snapshot is saved when there are so many rows, and whenever there are so many more ..
        saved_share: .. which must be at least this part of all: 8 stands for an eighth.
        fewest_saved: fewer are read from the records in a moment: at its end an index leaves them unsaved.
        left_free_bytes: what a snapshot leaves free on the disk: the records need the room more than a copy of them.
    """

    block_rows: int = NUM_ROWS
    first_folding: int = 4096
    folding_growth: int = 8
    sample_rows: int = 8192
    first_save: int = 4096
    saved_share: int = 8
    fewest_saved: int = 256
    left_free_bytes: int = 1 << 28
