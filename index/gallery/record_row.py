"""A record as a row of a table, whatever database has it: the names of its columns, and the way back to the record."""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from index.gallery.errors import DamagedRecordError
from index.gallery.fields import Fields
from index.gallery.record import ModelKey, Record
from index.gallery.record_store import Row
from index.gallery.timestamp import time_of
from model.box import Box

FIELD_NAMES: Final = ("identity", "camera", "captured_at", "latitude", "longitude", "tags", "source", "attributes")
"""The user's fields."""

RECORD_NAMES: Final = (
    "seq", "id", "content", "media_type", "box", "whole_image", *FIELD_NAMES, "fingerprint", "precision", "enrolled_at",
    "checksum",
)  # fmt: skip
VECTOR_NAMES: Final = ("embedding", "theta")

INDEX_NAMES: Final = ("seq", "id", "enrolled_at", *FIELD_NAMES)
"""What an index keeps of a record beside its embedding."""

_UNREADABLE: Final = (ValueError, TypeError, AttributeError, OverflowError, RecursionError)


def record_from_row(row: tuple[Any, ...]) -> Record:
    """The record in a row of `RECORD_NAMES` and `VECTOR_NAMES`: times in microseconds, tags and attributes as JSON.

    Raises:
        DamagedRecordError: it cannot be read, or does not have its checksum.
    """
    (_, id_, content, media_type, box, whole_image, identity, camera, captured_at, latitude, longitude, tags,
     source, attributes, fingerprint, precision, enrolled_at, checksum, embedding, theta) = row  # fmt: skip

    try:
        record = Record(
            id=id_,
            content=content,
            media_type=media_type,
            box=Box.parse(box),
            whole_image=bool(whole_image),
            fields=_fields(identity, camera, captured_at, latitude, longitude, tags, source, attributes),
            embedding=np.frombuffer(embedding, "<f4"),
            theta=np.frombuffer(theta, "<f4").reshape(2, 3),
            model=ModelKey(fingerprint, precision),
            enrolled_at=time_of(enrolled_at),
        )
        intact = record.checksum() == checksum
    except _UNREADABLE as error:
        raise DamagedRecordError(f"the record {id_} is damaged and cannot be read: {error}") from error
    if not intact:
        raise DamagedRecordError(f"the record {id_} is damaged: its checksum differs; enrol it again, or delete it")
    return record


def index_row(values: tuple[Any, ...]) -> Row:
    """What an index keeps, from values of `INDEX_NAMES`.

    Raises:
        DamagedRecordError: the fields cannot be read.
    """
    seq, id_, enrolled_us, *fields = values
    try:
        return Row(seq, id_, enrolled_us, _fields(*fields))
    except _UNREADABLE as error:
        raise DamagedRecordError(f"the record {id_} is damaged and cannot be read: {error}") from error


def _fields(
    identity: str | None,
    camera: str | None,
    captured_at: int | None,
    latitude: float | None,
    longitude: float | None,
    tags: str,
    source: str | None,
    attributes: str,
) -> Fields:
    # Only what a damaged byte may have made of a number or of JSON: texts were checked before they were stored.
    if type(latitude) is not type(longitude) or not isinstance(latitude, float | None):
        raise TypeError("its place is no pair of numbers")
    return Fields.of_stored(
        identity, camera, _time(captured_at), latitude, longitude, _tags(tags), source, _attributes(attributes)
    )


# Most records have neither tags nor attributes, or those of many others.
@lru_cache(1000)
def _tags(text: str) -> tuple[str, ...]:
    return tuple(sorted(json.loads(text)))


@lru_cache(1000)
def _attributes(text: str) -> Mapping[str, str]:
    return MappingProxyType({str(name): value + "" for name, value in sorted(json.loads(text).items())})


def _time(value: int | None) -> datetime | None:
    return None if value is None else time_of(value)
