"""The fields that filters ask for, of all searchable records, in memory: a filter decides before anything is ranked."""

from collections.abc import Hashable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.embedded.circle import within_circle
from index.embedded.inverted_index import NUM_ROWS, InvertedIndex
from index.gallery.fields import Fields
from index.gallery.filters import Filter
from index.gallery.record import Record

NO_IDENTITY: Final = -1
"""The code of records without an identity: Python's `hash` never returns it."""

_NO_TIME: Final = np.iinfo(np.int64).min
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class RecordColumns:
    """Rows 0, 1, .. in the order of `add`, in blocks of `NUM_ROWS`; a row is a record's for good, until `take`.

    `passing` selects what `Filter.matches` lets pass; records whose degrees no place on Earth has are nowhere, as in
    SQL. Texts are kept as 64-bit codes, Python's keyed hash of them, and not as texts, of which sources and attributes
    may have a different one for every record: 48 bytes a record and 10 for each tag and attribute. Two texts of a
    million have the same code in one of 37 million processes, and a text that is asked for has that of another one in
    one of 2 * 10**13 questions. Who changes or deletes what passes can ask `Filter.matches` of each record as well.

    The owner locks. `passing` and `identity_codes` may run in several threads at once, and beside one `add`, of which
    they see all rows of a block or none; `set` needs to be alone. `take` leaves the object as it is.
    """

    def __init__(self) -> None:
        self._blocks: list[_Block] = []

    def __len__(self) -> int:
        return sum(block.num_rows for block in self._blocks)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows; what the last block has set aside for further rows takes no memory yet."""
        return sum(block.nbytes for block in self._blocks)

    def add(self, records: Sequence[Record]) -> None:
        """Appends rows; without enough memory nothing is changed."""
        fields = [record.fields for record in records]
        last = self._blocks[-1] if self._blocks else _Block()
        num_free = NUM_ROWS - last.num_rows
        blocks = [_Block(fields[start : start + NUM_ROWS]) for start in range(num_free, len(fields), NUM_ROWS)]
        last.add(fields[:num_free])
        if not self._blocks:
            self._blocks.append(last)
        self._blocks.extend(blocks)

    def set(self, row: int, fields: Fields) -> None:
        """Replaces the fields of a row, after the user's change.

        Raises:
            IndexError: there is no such row.
        """
        self._check_rows(np.array([row]))
        self._blocks[row // NUM_ROWS].set(row % NUM_ROWS, fields)

    def passing(self, where: Filter) -> NDArray[np.bool_]:
        """Which rows (N,) a filter lets pass; all of them if it has no condition.

        Raises:
            ValueError: the filter's circle has no place on Earth as its centre.
        """
        return np.concatenate([np.empty(0, np.bool_), *(block.passing(where) for block in self._blocks)])

    def identity_codes(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Codes (len(rows),) that are equal where identities are; `NO_IDENTITY` where there is none.

        Raises:
            IndexError: there is no such row.
        """
        self._check_rows(rows)
        # Two bytes are sorted in linear time.
        block_of = (rows // NUM_ROWS).astype(np.uint16)
        order = np.argsort(block_of, kind="stable")
        blocks = self._blocks.copy()
        starts = np.searchsorted(block_of[order], np.arange(len(blocks) + 1))
        codes = np.empty(len(rows), np.int64)
        for block, start, end in zip(blocks, starts[:-1], starts[1:], strict=True):
            here = order[start:end]
            codes[here] = block.identity[rows[here] % NUM_ROWS]
        return codes

    def take(self, rows: NDArray[np.int64]) -> "RecordColumns":
        """Columns of these rows alone, numbered anew from 0: what is left after deletions.

        Raises:
            ValueError: the rows do not rise.
            IndexError: there is no such row.
        """
        if not (np.diff(rows) > 0).all():
            raise ValueError("the rows to keep must rise")
        self._check_rows(rows)
        kept = RecordColumns()
        for start in range(0, len(rows), NUM_ROWS):
            block = _Block()
            part = rows[start : start + NUM_ROWS]
            for number in np.unique(part // NUM_ROWS).tolist():
                block.add_rows_of(self._blocks[number], part[part // NUM_ROWS == number] % NUM_ROWS)
            kept._blocks.append(block)
        return kept

    def _check_rows(self, rows: NDArray[np.int64]) -> None:
        wrong = rows[(rows < 0) | (rows >= len(self))]
        if len(wrong):
            raise IndexError(f"rows from 0 to {len(self) - 1} were expected, got {wrong[0]}")


class _Block:
    """Up to `NUM_ROWS` rows. A column is allocated at once; pages of it take memory when they are written."""

    def __init__(self, fields: Sequence[Fields] = ()) -> None:
        self.num_rows = 0
        self.identity = np.empty(NUM_ROWS, np.int64)
        self.camera = np.empty(NUM_ROWS, np.int64)
        self.source = np.empty(NUM_ROWS, np.int64)
        self.captured_at = np.empty(NUM_ROWS, np.int64)
        self.latitude = np.empty(NUM_ROWS)
        self.longitude = np.empty(NUM_ROWS)
        self.tags = InvertedIndex()
        self.attributes = InvertedIndex()
        self.add(fields)

    @property
    def nbytes(self) -> int:
        columns = sum(column[: self.num_rows].nbytes for column in self._columns())
        return columns + self.tags.nbytes + self.attributes.nbytes

    def add(self, fields: Sequence[Fields]) -> None:
        tags = self.tags.with_rows(self.num_rows, [_tag_codes(f) for f in fields])
        attributes = self.attributes.with_rows(self.num_rows, [_attribute_codes(f) for f in fields])
        end = self.num_rows + len(fields)
        self._write(slice(self.num_rows, end), fields)
        self.tags, self.attributes = tags, attributes
        # Only now: a search that runs meanwhile does not see the rows before they are whole.
        self.num_rows = end

    def add_rows_of(self, other: "_Block", rows: NDArray[np.int64]) -> None:
        """Appends rows (rising) of another block."""
        end = self.num_rows + len(rows)
        for column, other_column in zip(self._columns(), other._columns(), strict=True):
            column[self.num_rows : end] = other_column[rows]
        self.tags = self.tags.with_rows_of(other.tags, rows, self.num_rows)
        self.attributes = self.attributes.with_rows_of(other.attributes, rows, self.num_rows)
        self.num_rows = end

    def set(self, row: int, fields: Fields) -> None:
        tags = self.tags.with_codes(row, _tag_codes(fields))
        attributes = self.attributes.with_codes(row, _attribute_codes(fields))
        self._write(slice(row, row + 1), [fields])
        self.tags, self.attributes = tags, attributes

    def passing(self, where: Filter) -> NDArray[np.bool_]:
        num_rows = self.num_rows
        passing = np.ones(num_rows, np.bool_)
        if where.identity is not None:
            passing &= self.identity[:num_rows] == _code(where.identity)
        if where.cameras:
            passing &= np.isin(self.camera[:num_rows], [_code(camera) for camera in where.cameras])
        if where.source is not None:
            passing &= self.source[:num_rows] == _code(where.source)
        captured_at = self.captured_at[:num_rows]
        if where.captured_after is not None:
            passing &= captured_at >= _microseconds(where.captured_after)
        if where.captured_before is not None:
            passing &= (captured_at < _microseconds(where.captured_before)) & (captured_at != _NO_TIME)
        for tag in where.tags:
            passing &= _mask(self.tags.rows_with(_code(tag)), num_rows)
        for attribute in where.attributes:
            passing &= _mask(self.attributes.rows_with(_code(attribute)), num_rows)
        if where.near is not None:
            # The dearest condition: only of rows that pass the others.
            rows = slice(num_rows) if passing.all() else np.flatnonzero(passing)
            passing[rows] = within_circle(self.latitude[rows], self.longitude[rows], where.near)
        return passing

    def _columns(self) -> list[NDArray[np.int64] | NDArray[np.float64]]:
        return [self.identity, self.camera, self.source, self.captured_at, self.latitude, self.longitude]

    def _write(self, rows: slice, fields: Sequence[Fields]) -> None:
        self.identity[rows] = [_code(f.identity) for f in fields]
        self.camera[rows] = [_code(f.camera) for f in fields]
        self.source[rows] = [_code(f.source) for f in fields]
        self.captured_at[rows] = [_NO_TIME if f.captured_at is None else _microseconds(f.captured_at) for f in fields]
        latitude = np.array([f.latitude for f in fields], np.float64)
        longitude = np.array([f.longitude for f in fields], np.float64)
        on_earth = (np.abs(latitude) <= 90) & (np.abs(longitude) <= 180)
        self.latitude[rows] = np.where(on_earth, latitude, np.nan)
        self.longitude[rows] = np.where(on_earth, longitude, np.nan)


def _code(value: Hashable | None) -> int:
    """64 bits for a text or for an attribute (name, value); -1 for none, which no `hash` is."""
    return -1 if value is None else hash(value)


def _tag_codes(fields: Fields) -> list[int]:
    return [_code(tag) for tag in fields.tags]


def _attribute_codes(fields: Fields) -> list[int]:
    return [_code(attribute) for attribute in fields.attributes.items()]


def _microseconds(time: datetime) -> int:
    """Since 1970 in UTC, exactly."""
    return (time - _EPOCH) // _MICROSECOND


def _mask(rows: NDArray[np.uint16], num_rows: int) -> NDArray[np.bool_]:
    """Which of a block's first rows are among those given."""
    mask = np.zeros(NUM_ROWS, np.bool_)
    mask[rows] = True
    return mask[:num_rows]
