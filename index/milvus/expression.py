"""A filter in the language of Milvus."""

import re
from collections.abc import Collection

from index.gallery.filters import Filter, Near
from index.gallery.timestamp import microseconds
from index.milvus.bounding_box import bounding_box
from index.milvus.field_codes import attribute_code, text_code
from index.milvus.schema import NO_TIME

EVERY_ROW = "seq > 0"
"""All rows but the one that is no record's, which keeps the highest seq."""

_NO_ROW = "seq < 0"


def expression_of(where: Filter) -> str:
    """The condition that rows which `Filter.matches` lets pass fulfil, and no others but those that `near` refuses.

    Of a circle, Milvus sees the bounding box: `within_circle` has the last word. Nothing that a user wrote stands in
    the expression, only numbers and record ids.

    Raises:
        ValueError: the filter's circle has no place on Earth as its centre.
    """
    terms = [EVERY_ROW]
    if where.ids:
        ids = [id_ for id_ in where.ids if _is_id(id_)]
        terms.append(f"id in [{', '.join(map(_quoted, ids))}]" if ids else _NO_ROW)
    if where.other_than is not None and _is_id(where.other_than):
        terms.append(f"id != {_quoted(where.other_than)}")
    if where.identity is not None:
        terms.append(f"identity == {text_code(where.identity)}")
    if where.cameras:
        terms.append(f"camera in {sorted(map(text_code, where.cameras))}")
    if where.source is not None:
        terms.append(f"source == {text_code(where.source)}")
    if where.captured_after is not None:
        terms.append(f"captured_us >= {microseconds(where.captured_after)}")
    if where.captured_before is not None:
        terms.append(f"captured_us > {NO_TIME} and captured_us < {microseconds(where.captured_before)}")
    terms += [f"array_contains(tags, {text_code(tag)})" for tag in where.tags]
    terms += [f"array_contains(attributes, {attribute_code(*attribute)})" for attribute in where.attributes]
    if where.near is not None:
        terms.append(_in_box(where.near))
    return " and ".join(terms)


def without(expression: str, identities: Collection[int], seqs: Collection[int]) -> str:
    """The condition, and none of these identities (by their codes) nor of these rows."""
    if identities:
        expression += f" and identity not in {sorted(identities)}"
    if seqs:
        expression += f" and seq not in {sorted(seqs)}"
    return expression


def _in_box(near: Near) -> str:
    box = bounding_box(near)
    # Nine decimals are a tenth of a millimetre; an exponent is not read by every version.
    longitudes = [f"(longitude >= {west:.9f} and longitude <= {east:.9f})" for west, east in box.longitudes]
    latitude = f"latitude >= {box.south:.9f} and latitude <= {box.north:.9f}"
    return f"{latitude} and ({' or '.join(longitudes)})"


def _is_id(text: str) -> bool:
    """Whether a record may have this id: anything else is no row's, and stays out of expressions."""
    return re.fullmatch("[0-9a-f]{32}", text) is not None


def _quoted(id_: str) -> str:
    return f'"{id_}"'
