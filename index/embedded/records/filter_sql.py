"""A filter, and what is too old, in the language of the table of records."""

import json
from datetime import datetime

from index.gallery.filters import Filter, distance_m
from index.gallery.retention import Expired
from index.gallery.timestamp import microseconds


def sql_condition(where: Filter) -> tuple[str, list[object]]:
    """The filter as a condition over the table ``record``, and its parameters; ``"1"`` if everything passes.

    It selects what `Filter.matches` lets pass. SQLite needs the function `distance_m_or_null` under that name.
    """
    terms: list[str] = []
    parameters: list[object] = []

    def add(term: str, *values: object) -> None:
        terms.append(term)
        parameters.extend(values)

    if where.ids:
        add("id IN (SELECT value FROM json_each(?))", json.dumps(where.ids))
    if where.other_than is not None:
        add("id <> ?", where.other_than)
    if where.identity is not None:
        add("identity = ?", where.identity)
    if where.cameras:
        add(f"camera IN ({','.join('?' * len(where.cameras))})", *where.cameras)
    for tag in where.tags:
        add(_exists_in("tags", "value = ?"), tag)
    if where.captured_after is not None:
        add("captured_at >= ?", microseconds(where.captured_after))
    if where.captured_before is not None:
        add("captured_at < ?", microseconds(where.captured_before))
    if where.near is not None:
        near = where.near
        # The band of latitudes is cheap and spares most rows the exact distance; a degree has 111.2 km.
        band_deg = near.radius_m / 111_000
        add("latitude BETWEEN ? AND ?", near.latitude - band_deg, near.latitude + band_deg)
        add("distance_m_or_null(latitude, longitude, ?, ?) <= ?", near.latitude, near.longitude, near.radius_m)
    if where.source is not None:
        add("source = ?", where.source)
    for name, value in where.attributes:
        add(_exists_in("attributes", "key = ? AND value = ?"), name, value)
    return " AND ".join(terms) or "1", parameters


def sql_expired(expired: Expired) -> tuple[str, list[object]]:
    """What `Expired.includes` says, as a condition over the table ``record``, and its parameters."""
    parameters: list[object] = []
    for camera, before in expired.cameras.items():
        parameters += [camera, _microseconds(before)]
    parameters.append(_microseconds(expired.before))
    # Nothing is before NULL: such records stay.
    limit = f"CASE camera {'WHEN ? THEN ? ' * len(expired.cameras)}ELSE ? END" if expired.cameras else "?"
    return f"min(coalesce(captured_at, enrolled_at), enrolled_at) < {limit}", parameters


def distance_m_or_null(latitude_a: float, longitude_a: float, latitude_b: float, longitude_b: float) -> float | None:
    """`distance_m` as SQL sees it: a record whose place is missing or damaged is nowhere, and no error."""
    try:
        return distance_m(latitude_a, longitude_a, latitude_b, longitude_b)
    except (TypeError, ValueError):
        return None


def _exists_in(column: str, condition: str) -> str:
    # CASE, so that one damaged row is no error of the whole statement.
    exists = f"EXISTS (SELECT 1 FROM json_each(record.{column}) WHERE {condition})"  # noqa: S608 (no values)
    return f"CASE WHEN json_valid(record.{column}) THEN {exists} ELSE 0 END"


def _microseconds(time: datetime | None) -> int | None:
    return None if time is None else microseconds(time)
