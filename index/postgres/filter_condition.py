"""A filter, and what is too old, as conditions over the table of records."""

from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Text, and_, any_, case, false, func, literal, true

from index.gallery.filters import Filter, distance_m
from index.gallery.retention import Expired
from index.gallery.timestamp import microseconds
from index.postgres.record_table import RECORD

_COLUMNS: Final = RECORD.c
# Of a degree of latitude; it has 111.2 km.
_LEAST_M_A_DEGREE: Final = 111_000


def filter_condition(where: Filter) -> ColumnElement[bool]:
    """The filter as a condition. With `Filter.near` more records pass it: `is_near` has the last word."""
    conditions: list[ColumnElement[bool]] = []
    if where.ids:
        conditions.append(has_text(_COLUMNS.id, where.ids))
    if where.other_than is not None and not _is_nowhere(where.other_than):
        conditions.append(_COLUMNS.id != where.other_than)
    if where.identity is not None:
        conditions.append(has_text(_COLUMNS.identity, [where.identity]))
    if where.cameras:
        conditions.append(has_text(_COLUMNS.camera, where.cameras))
    if where.tags:
        conditions.append(false() if any(map(_is_nowhere, where.tags)) else _COLUMNS.tags.contains(list(where.tags)))
    if where.captured_after is not None:
        conditions.append(_COLUMNS.captured_at >= microseconds(where.captured_after))
    if where.captured_before is not None:
        conditions.append(_COLUMNS.captured_at < microseconds(where.captured_before))
    if where.near is not None:
        near = where.near
        band_deg = near.radius_m / _LEAST_M_A_DEGREE
        conditions.append(_COLUMNS.latitude.between(near.latitude - band_deg, near.latitude + band_deg))
    if where.source is not None:
        conditions.append(has_text(_COLUMNS.source, [where.source]))
    for name, value in where.attributes:
        # One by one: of two values of one name, one alone would be asked for.
        is_nowhere = _is_nowhere(name) or _is_nowhere(value)
        conditions.append(false() if is_nowhere else _COLUMNS.attributes.contains({name: value}))
    return and_(true(), *conditions)


def is_near(where: Filter, latitude: float | None, longitude: float | None) -> bool:
    """Whether a place is within the radius of the filter, by the same arithmetic as in `Filter.matches`.

    A record whose place is missing or damaged is nowhere, and no error.
    """
    if where.near is None:
        return True
    if latitude is None or longitude is None:
        return False
    with suppress(ValueError):
        return distance_m(latitude, longitude, where.near.latitude, where.near.longitude) <= where.near.radius_m
    return False


def expired_condition(expired: Expired) -> ColumnElement[bool]:
    """What `Expired.includes` says."""
    age = func.least(func.coalesce(_COLUMNS.captured_at, _COLUMNS.enrolled_at), _COLUMNS.enrolled_at)
    # Nothing is before NULL: such records stay.
    before: ColumnElement[Any] = _time(expired.before)
    named = [(_COLUMNS.camera == name, _time(time)) for name, time in expired.cameras.items() if not _is_nowhere(name)]
    if named:
        before = case(*named, else_=before)
    return age < before


def has_text(column: ColumnElement[Any], texts: Collection[str]) -> ColumnElement[bool]:
    """Whether a column has one of the texts."""
    return column == any_(literal([text for text in texts if not _is_nowhere(text)], ARRAY(Text)))


def has_number(column: ColumnElement[Any], numbers: Collection[int]) -> ColumnElement[bool]:
    """Whether a column has one of the numbers."""
    return column == any_(literal(list(numbers), ARRAY(BigInteger)))


def _is_nowhere(text: str) -> bool:
    """No column has a text with a NUL, and PostgreSQL takes none."""
    return "\0" in text


def _time(time: datetime | None) -> ColumnElement[Any]:
    return literal(None if time is None else microseconds(time), BigInteger)
