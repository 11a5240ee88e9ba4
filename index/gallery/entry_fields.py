"""What a manifest's line says about a vehicle, as its record keeps it."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from index.datasets.manifest import Entry, ManifestError
from index.gallery.fields import (
    Fields,
    FieldsError,
    read_attributes,
    read_degrees,
    read_name,
    read_source,
    read_tags,
    read_time,
)

_COLUMNS: Final = ("identity", "camera", "captured_at", "latitude", "longitude", "tags", "source")
_NOT_KEPT: Final = ("role", "split", "draws", "")
"""What belongs to a protocol, and the column without a name in which some programs number the lines."""

_Value = TypeVar("_Value")


def fields_of(entry: Entry) -> Fields:
    """The fields of an entry: its columns of their names; further columns as attributes; its path as its source.

    A column ``source`` goes before the path. A cell that is empty or blank says nothing.

    Raises:
        FieldsError: a value that `POST /gallery` would refuse too; the message names the column.
    """
    attributes = {
        column: text
        for column, text in entry.further.items()
        if column not in _COLUMNS and column not in _NOT_KEPT and text.strip()
    }
    return Fields(
        identity=_read(entry, "identity", read_name),
        camera=_read(entry, "camera", read_name),
        captured_at=_read(entry, "captured_at", read_time),
        latitude=_read(entry, "latitude", lambda text: read_degrees(text, 90)),
        longitude=_read(entry, "longitude", lambda text: read_degrees(text, 180)),
        tags=_read(entry, "tags", read_tags) or (),
        source=_read(entry, "source", read_source) or _read(entry, "path", read_source),
        attributes=read_attributes(attributes),
    )


def columns_not_kept(entries: Sequence[Entry]) -> list[str]:
    """The columns that hold something and that no record keeps, in the order of their names.

    Raises:
        ManifestError: a column whose name no attribute can have, or that differs from a field's in its spelling alone.
    """
    for column in sorted({column for entry in entries for column in entry.further}):
        if column not in _COLUMNS and column not in _NOT_KEPT:
            _check_attribute(column)
    replaced = ("path",) if any(entry.column("source").strip() for entry in entries) else ()
    candidates = sorted({*_NOT_KEPT, *replaced})
    return [column for column in candidates if any(entry.column(column).strip() for entry in entries)]


def _check_attribute(column: str) -> None:
    try:
        (name,) = read_attributes({column: "value"})
    except FieldsError as error:
        raise ManifestError(f"the column {column!r} cannot be kept as an attribute: {error}; rename it") from None
    for field in (*_COLUMNS, *_NOT_KEPT, "path", "box"):
        if name.casefold() == field:
            raise ManifestError(
                f"the column {column!r} is not called {field!r}: rename it to this, or to something else"
            )


def _read(entry: Entry, column: str, read: Callable[[str], _Value]) -> _Value | None:
    text = entry.column(column)
    if not text.strip():
        return None
    try:
        return read(text)
    except FieldsError as error:
        raise FieldsError(f"{column}: {error}") from None
