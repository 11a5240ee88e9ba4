"""Which rows have a tag or an attribute: an inverted index from codes to rows."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

NUM_ROWS: Final = 65_536
"""Rows of a block: as many as two bytes can number."""

# New postings wait unsorted until they are this share of the sorted ones: a posting is sorted in a few times per block.
_NEW_SHARE: Final = 8
_MIN_NEW: Final = 4096


def _no_codes() -> NDArray[np.int64]:
    return np.empty(0, np.int64)


def _no_rows() -> NDArray[np.uint16]:
    return np.empty(0, np.uint16)


@dataclass(frozen=True, slots=True, eq=False)
class InvertedIndex:
    """The postings (code, row) of a block; a row has any number of codes, each once. Never changes: it is replaced.

    Attributes:
        sorted_codes, sorted_rows: (P,), by rising code.
        new_codes, new_rows: (Q,), in the order in which they came; Q is small beside P, or below `_MIN_NEW`.
        outdated: (NUM_ROWS,) the rows whose sorted postings no longer hold; None where there are none.
    """

    sorted_codes: NDArray[np.int64] = field(default_factory=_no_codes)
    sorted_rows: NDArray[np.uint16] = field(default_factory=_no_rows)
    new_codes: NDArray[np.int64] = field(default_factory=_no_codes)
    new_rows: NDArray[np.uint16] = field(default_factory=_no_rows)
    outdated: NDArray[np.bool_] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = (self.sorted_codes, self.sorted_rows, self.new_codes, self.new_rows, self.outdated)
        return sum(array.nbytes for array in arrays if array is not None)

    def rows_with(self, code: int) -> NDArray[np.uint16]:
        """The rows that have a code, each once, in no order."""
        start = np.searchsorted(self.sorted_codes, code, "left")
        end = np.searchsorted(self.sorted_codes, code, "right")
        rows = self.sorted_rows[start:end]
        if self.outdated is not None:
            rows = rows[~self.outdated[rows]]
        return np.concatenate([rows, self.new_rows[self.new_codes == code]])

    def with_rows(self, first_row: int, codes_of_rows: Sequence[Collection[int]]) -> "InvertedIndex":
        """The index with the codes of further rows, the first of which is `first_row`; they had none before."""
        return self._with_codes_of(np.arange(first_row, first_row + len(codes_of_rows)), codes_of_rows)

    def with_codes(self, rows: NDArray[np.int64], codes_of_rows: Sequence[Collection[int]]) -> "InvertedIndex":
        """The index after the codes of rows (N,), each there once, have been replaced."""
        changed = np.zeros(NUM_ROWS, np.bool_)
        changed[rows] = True
        others = ~changed[self.new_rows]
        outdated = changed if self.outdated is None else self.outdated | changed
        without = replace(self, new_codes=self.new_codes[others], new_rows=self.new_rows[others], outdated=outdated)
        return without._with_codes_of(rows, codes_of_rows)

    def with_rows_of(self, other: "InvertedIndex", rows: NDArray[np.int64], first_row: int) -> "InvertedIndex":
        """The index with the codes of another's rows (rising), which are numbered from `first_row` here."""
        new_number = np.full(NUM_ROWS, -1)
        new_number[rows] = np.arange(first_row, first_row + len(rows))
        codes, old_rows = other._postings()
        numbers = new_number[old_rows]
        kept = numbers >= 0
        return self._with_postings(codes[kept], numbers[kept].astype(np.uint16))

    def _with_codes_of(self, rows: NDArray[np.int64], codes_of_rows: Sequence[Collection[int]]) -> "InvertedIndex":
        """The index with the codes of rows (N,) that have none."""
        num_codes = [len(codes) for codes in codes_of_rows]
        codes = np.fromiter(chain.from_iterable(codes_of_rows), np.int64, sum(num_codes))
        return self._with_postings(codes, np.repeat(rows.astype(np.uint16), num_codes))

    def _with_postings(self, codes: NDArray[np.int64], rows: NDArray[np.uint16]) -> "InvertedIndex":
        grown = replace(
            self,
            new_codes=np.concatenate([self.new_codes, codes]),
            new_rows=np.concatenate([self.new_rows, rows]),
        )
        if len(grown.new_codes) <= max(_MIN_NEW, len(self.sorted_codes) // _NEW_SHARE):
            return grown
        codes, rows = grown._postings()
        # This kind merges what is sorted already instead of sorting it once more.
        order = np.argsort(codes, kind="stable")
        return InvertedIndex(codes[order], rows[order])

    def _postings(self) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
        """All codes and their rows, without those that no longer hold."""
        codes, rows = self.sorted_codes, self.sorted_rows
        if self.outdated is not None:
            valid = ~self.outdated[rows]
            codes, rows = codes[valid], rows[valid]
        return np.concatenate([codes, self.new_codes]), np.concatenate([rows, self.new_rows])
