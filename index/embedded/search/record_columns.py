"""The fields that filters ask for, of all searchable records, in memory: a filter decides before anything is ranked."""

from collections.abc import Hashable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.embedded.search.inverted_index import NUM_ROWS, InvertedIndex
from index.gallery.circle import within_circle
from index.gallery.fields import Fields
from index.gallery.filters import Filter
from index.gallery.timestamp import microseconds

NO_IDENTITY: Final = -1
"""The code of records without an identity: Python's `hash` never returns it."""

_NO_TIME: Final = np.iinfo(np.int64).min


class RecordColumns:
    """The fields of a block's rows 0, 1, .., at most `NUM_ROWS`.

    `passing` selects what `Filter.matches` lets pass; records whose degrees no place on Earth has are nowhere, as in
    SQL. Texts are kept as 64-bit codes, Python's keyed hash of them, and not as texts, of which sources and attributes
    may have a different one for every record: 48 bytes a record and 10 for each tag and attribute. Two texts of a
    million have the same code in one of 37 million processes, and a text that is asked for has that of another one in
    one of 2 * 10**13 questions: beside 128 bits of a record's id much, beside the errors of memory nothing. Who must
    know asks `Filter.matches` of the records that pass.

    One thread writes; `passing` and `identity` may be read meanwhile. Of rows that are being added they see all or
    none, of a row that is changed each field as it was or as it becomes; the place is one field. Fields that change
    together need not be seen together: who must know asks `Filter.matches` here too.

    Attributes:
        num_rows: so many are there.
        identity: (capacity,) codes that are equal where identities are; `NO_IDENTITY` where there is none.
    """

    def __init__(self, capacity: int = NUM_ROWS) -> None:
        """Room for rows; pages of it take memory when they are written.

        Raises:
            ValueError: a capacity above `NUM_ROWS`.
        """
        if capacity > NUM_ROWS:
            raise ValueError(f"columns have room for at most {NUM_ROWS} rows, got a capacity of {capacity}")
        self.num_rows = 0
        self.identity = np.empty(capacity, np.int64)
        self._camera = np.empty(capacity, np.int64)
        self._source = np.empty(capacity, np.int64)
        self._captured_at = np.empty(capacity, np.int64)
        # Latitudes and longitudes in degrees, NaN where there is no place on Earth.
        self._places = np.empty((2, capacity))
        self._tags = InvertedIndex()
        self._attributes = InvertedIndex()

    @property
    def nbytes(self) -> int:
        """Bytes of all rows; what is set aside for further rows takes no memory yet."""
        columns = sum(column[: self.num_rows].nbytes for column in self._columns())
        return columns + self._tags.nbytes + self._attributes.nbytes

    def put(self, start: int, fields: Sequence[Fields]) -> None:
        """Writes the fields of rows from `start` on; what was there before from that row on is forgotten."""
        tags, attributes = self._tags, self._attributes
        if start < self.num_rows:
            kept = np.arange(start)
            tags, attributes = (InvertedIndex().with_rows_of(index, kept, 0) for index in (tags, attributes))
        tags = tags.with_rows(start, [_tag_codes(f) for f in fields])
        attributes = attributes.with_rows(start, [_attribute_codes(f) for f in fields])
        stop = start + len(fields)
        self._write(slice(start, stop), fields)
        self._places[:, start:stop] = _places(fields)
        self._tags, self._attributes = tags, attributes
        # Only now: a search that runs meanwhile does not see the rows before they are whole.
        self.num_rows = stop

    def put_rows_of(self, other: "RecordColumns", rows: NDArray[np.int64]) -> None:
        """Appends rows (rising) of another block."""
        stop = self.num_rows + len(rows)
        for column, other_column in zip(self._columns(), other._columns(), strict=True):
            column[self.num_rows : stop] = other_column[rows]
        self._tags = self._tags.with_rows_of(other._tags, rows, self.num_rows)
        self._attributes = self._attributes.with_rows_of(other._attributes, rows, self.num_rows)
        self.num_rows = stop

    def set(self, rows: NDArray[np.int64], fields: Sequence[Fields]) -> None:
        """Replaces the fields of rows (N,), each there once, after the user's change."""
        tags = self._tags.with_codes(rows, [_tag_codes(f) for f in fields])
        attributes = self._attributes.with_codes(rows, [_attribute_codes(f) for f in fields])
        changed_places = _places(fields)
        if not np.array_equal(self._places[:, rows], changed_places, equal_nan=True):
            # A copy: who reads meanwhile never sees the latitude of one place and the longitude of another.
            places = self._places.copy()
            places[:, rows] = changed_places
            self._places = places
        self._write(rows, fields)
        self._tags, self._attributes = tags, attributes

    def passing(self, where: Filter) -> NDArray[np.bool_]:
        """Which rows (num_rows,) a filter lets pass; all of them if it has no condition.

        Raises:
            ValueError: the filter's circle has no place on Earth as its centre.
        """
        # What is written meanwhile is read once: a value that changed between two looks would be neither of its values.
        num_rows, tags, attributes = self.num_rows, self._tags, self._attributes
        latitude, longitude = self._places
        passing = np.ones(num_rows, np.bool_)
        if where.identity is not None:
            passing &= self.identity[:num_rows] == _code(where.identity)
        if where.cameras:
            passing &= np.isin(self._camera[:num_rows].copy(), [_code(camera) for camera in where.cameras])
        if where.source is not None:
            passing &= self._source[:num_rows] == _code(where.source)
        if where.captured_after is not None or where.captured_before is not None:
            captured_at = self._captured_at[:num_rows].copy()
            passing &= captured_at != _NO_TIME
            if where.captured_after is not None:
                passing &= captured_at >= microseconds(where.captured_after)
            if where.captured_before is not None:
                passing &= captured_at < microseconds(where.captured_before)
        for tag in where.tags:
            passing &= _mask(tags.rows_with(_code(tag)), num_rows)
        for attribute in where.attributes:
            passing &= _mask(attributes.rows_with(_code(attribute)), num_rows)
        if where.near is not None:
            # The dearest condition: only of rows that pass the others.
            rows = slice(num_rows) if passing.all() else np.flatnonzero(passing)
            passing[rows] = within_circle(latitude[rows], longitude[rows], where.near)
        return passing

    def _columns(self) -> list[NDArray[np.int64] | NDArray[np.float64]]:
        return [self.identity, self._camera, self._source, self._captured_at, *self._places]

    def _write(self, rows: slice | NDArray[np.int64], fields: Sequence[Fields]) -> None:
        self.identity[rows] = [_code(f.identity) for f in fields]
        self._camera[rows] = [_code(f.camera) for f in fields]
        self._source[rows] = [_code(f.source) for f in fields]
        self._captured_at[rows] = [_NO_TIME if f.captured_at is None else microseconds(f.captured_at) for f in fields]


def _code(value: Hashable | None) -> int:
    """64 bits for a text or for an attribute (name, value); -1 for none, which no `hash` is."""
    return -1 if value is None else hash(value)


def _tag_codes(fields: Fields) -> list[int]:
    return [_code(tag) for tag in fields.tags]


def _attribute_codes(fields: Fields) -> list[int]:
    return [_code(attribute) for attribute in fields.attributes.items()]


def _places(fields: Sequence[Fields]) -> NDArray[np.float64]:
    """(2, N), latitudes and longitudes."""
    latitude = np.array([f.latitude for f in fields], np.float64)
    longitude = np.array([f.longitude for f in fields], np.float64)
    on_earth = (np.abs(latitude) <= 90) & (np.abs(longitude) <= 180)
    return np.where(on_earth, [latitude, longitude], np.nan)


def _mask(rows: NDArray[np.uint16], num_rows: int) -> NDArray[np.bool_]:
    """Which of a block's first rows are among those given."""
    mask = np.zeros(NUM_ROWS, np.bool_)
    mask[rows] = True
    return mask[:num_rows]
