"""Texts of the users as numbers: what a filter of Milvus compares."""

import hashlib
from collections.abc import Iterable
from typing import Final

from index.gallery.fields import Fields

NO_TEXT: Final = 0
"""The code of a field that is absent; no text has it."""


def text_code(text: str | None) -> int:
    """A number from 1 to 2^63 - 1 for a text, the same in every process; `NO_TEXT` for none.

    As numbers, texts need no quotes in expressions, and no limit of a column's length in bytes cuts them. Two texts of
    a million have the same code in one of 18 million galleries. Who must know asks `Filter.matches` of the records.
    """
    return NO_TEXT if text is None else _code(text)


def attribute_code(name: str, value: str) -> int:
    """The same for an attribute: both texts together, and where one ends and the other begins."""
    return _code(f"{len(name)} {name} {value}")


def tag_codes(fields: Fields) -> list[int]:
    """Those of all tags."""
    return _each_once(map(_code, fields.tags))


def attribute_codes(fields: Fields) -> list[int]:
    """Those of all attributes."""
    return _each_once(attribute_code(name, value) for name, value in fields.attributes.items())


def _code(text: str) -> int:
    # A filter may hold half a surrogate pair, which no record has.
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
    return max(1, int.from_bytes(digest) >> 1)


def _each_once(codes: Iterable[int]) -> list[int]:
    return sorted(set(codes))
