"""What users say about a vehicle, and the one strictness with which every door reads it.

A form, a query string, a JSON body, a manifest and a folder all come through these functions, so that what one of them
refuses, each of them refuses, and a name enrolled through one is found through all.
"""

import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, Final, Self

from model.number import NumberError, decimal_number

MAX_NAME: Final = 200
"""Characters of an identity, a camera, a tag, an attribute's name or its value."""

MAX_SOURCE: Final = 1000
"""Characters of a source: paths are longer than names."""

MAX_TAGS: Final = 64
MAX_ATTRIBUTES: Final = 32

_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-5][0-9])"
)

# What shows nothing although Unicode has it among the letters, marks and symbols: fillers, the empty Braille cell,
# variation selectors.
_BLANK: Final = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]")

# What shows nothing and comes along when names are copied: soft hyphens, zero-width spaces, marks of the direction of
# writing, byte order marks. Not the joiners: within emoji and scripts that join, they are seen.
_UNSEEN: Final = (
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
)
_ENDS: Final = _UNSEEN + "".join(filter(str.isspace, map(chr, range(0x3001))))


class FieldsError(ValueError):
    """Fields that cannot be read or that contradict each other; the message says which."""


@dataclass(frozen=True, slots=True)
class Fields:
    """What the user says about a vehicle; all optional, all changeable.

    Attributes:
        captured_at: with a time zone; kept in UTC to the microsecond.
        latitude, longitude: WGS 84 degrees, both or none.
        tags: sorted, each once.
        source: the file's name or path, as the client or the manifest gave it.
        attributes: further short texts by name, sorted by name.
    """

    identity: str | None = None
    camera: str | None = None
    captured_at: datetime | None = None
    latitude: float | None = None
    longitude: float | None = None
    tags: tuple[str, ...] = ()
    source: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.captured_at is not None:
            object.__setattr__(self, "captured_at", _in_utc(self.captured_at))
        if (self.latitude is None) != (self.longitude is None):
            raise FieldsError("latitude and longitude come together: give both or none")
        for name in ("latitude", "longitude"):
            if (value := getattr(self, name)) is not None:
                if not math.isfinite(value):
                    raise FieldsError(f"{name} must be a finite number, got {value}")
                # The one way to write a number that the store gives back: 50 and -0.0 are 50.0 and 0.0.
                object.__setattr__(self, name, float(value) + 0.0)
        object.__setattr__(self, "tags", tuple(sorted(set(self.tags))))
        object.__setattr__(self, "attributes", dict(sorted(self.attributes.items())))
        texts = (self.identity, self.camera, self.source, *self.tags, *self.attributes, *self.attributes.values())
        for text in filter(None, texts):
            # SQLite's JSON ends at a NUL, and a half of a surrogate pair is no character.
            if "\0" in text or (not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)):
                raise FieldsError("identity, camera, tags, source and attributes cannot hold NUL or lone surrogates")

    @classmethod
    def of_stored(cls, *values: Any) -> Self:
        """Fields with the values, in order, that other fields have had: nothing is checked, in a tenth of the time."""
        stored = object.__new__(cls)
        for name, value in zip(cls.__match_args__, values, strict=True):
            object.__setattr__(stored, name, value)
        return stored

    def differing(self, other: "Fields") -> list[str]:
        """The names of the fields whose values differ, in the order of the class."""
        return [f.name for f in fields(Fields) if getattr(self, f.name) != getattr(other, f.name)]

    def filled(self, captured_at: datetime | None, latitude: float | None, longitude: float | None) -> "Fields":
        """The fields with a time and a place where they have none: what an image's EXIF says."""
        filled = self
        if self.captured_at is None and captured_at is not None:
            filled = replace(filled, captured_at=captured_at)
        if self.latitude is None and latitude is not None and longitude is not None:
            filled = replace(filled, latitude=latitude, longitude=longitude)
        return filled


def read_name(text: str, longest: int = MAX_NAME) -> str:
    """A name as it is kept and compared: Unicode's composed form (NFC), without spaces and unseen marks at its ends.

    Raises:
        FieldsError: nothing of it is visible, it is longer than `longest` characters, or holds control characters.
    """
    name = text.strip(_ENDS)
    # Composing takes the square of the time for marks in a row; four characters at most become one.
    if len(name) <= 4 * longest:
        name = unicodedata.normalize("NFC", name)
    if len(name) > longest:
        raise FieldsError(f"a name has at most {longest} characters, not {len(name)}")
    categories = [unicodedata.category(character) for character in name]
    if not {"Cc", "Cs", "Zl", "Zp"}.isdisjoint(categories):
        raise FieldsError("a name cannot hold control characters, line breaks or lone surrogates")
    # A character that this Unicode does not know yet (Cn), or that a font has of its own (Co), may well be seen.
    if all(category[0] == "Z" or category == "Cf" for category in map(unicodedata.category, _BLANK.sub("", name))):
        raise FieldsError("a name needs at least one visible character")
    return name


def read_source(text: str) -> str:
    """The name or path of a file, as `read_name` keeps it.

    Raises:
        FieldsError: as `read_name`.
    """
    return read_name(text, MAX_SOURCE)


def read_time(text: str) -> datetime:
    """An RFC 3339 time with its zone, such as ``2026-05-01T12:00:00Z``.

    Raises:
        FieldsError: it is none.
    """
    wrong = f"a time is RFC 3339 with its zone, such as 2026-05-01T12:00:00Z, not {shorten(text)}"
    if not _RFC3339.fullmatch(text):
        if re.search(r":[0-9]{2}(?:\.[0-9]+)? [0-9]{2}:[0-9]{2}$", text):
            wrong += " (in an address, + is written as %2B)"
        raise FieldsError(wrong)
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError:
        why = "a leap second is written as :59" if text[17:19] == "60" else "there is no such time"
        raise FieldsError(f"{wrong} ({why})") from None


def read_degrees(text: str, most: int) -> float:
    """A latitude (`most` 90) or a longitude (`most` 180).

    Raises:
        FieldsError: no number, or beyond `most`.
    """
    try:
        number = decimal_number(text)
    except NumberError:
        number = math.nan
    if not abs(number) <= most:
        raise FieldsError(f"a number of degrees between -{most} and {most} was expected, not {shorten(text)}")
    return number


def read_tags(text: str) -> tuple[str, ...]:
    """The tags in one text: a JSON array of texts, or names separated by commas or semicolons.

    Raises:
        FieldsError: a tag that is no name, or more than `MAX_TAGS`.
    """
    if text.lstrip().startswith("["):
        try:
            names = json.loads(text)
        except ValueError as error:
            raise FieldsError(f"tags are no JSON array: {error}") from None
        except RecursionError:
            raise FieldsError("tags are a JSON array of texts, not of arrays in arrays") from None
        if not all(isinstance(name, str) for name in names):
            raise FieldsError("tags are texts: write numbers and null in quotes")
    else:
        names = [name for name in re.split("[,;]", text) if name.strip()]
    return check_tags(map(read_name, names))


def check_tags(names: Iterable[str]) -> tuple[str, ...]:
    """Names as tags.

    Raises:
        FieldsError: more than `MAX_TAGS`.
    """
    tags = tuple(names)
    if len(tags) > MAX_TAGS:
        raise FieldsError(f"a vehicle has at most {MAX_TAGS} tags, not {len(tags)}")
    return tags


def read_attributes(texts: Mapping[str, str]) -> dict[str, str]:
    """Further texts by name.

    Raises:
        FieldsError: a name with a colon (``attribute=name:value`` asks for it), two names that are the same but for
            spaces or their Unicode form, a name or value that `read_name` refuses, or more than `MAX_ATTRIBUTES`.
    """
    if len(texts) > MAX_ATTRIBUTES:
        raise FieldsError(f"a vehicle has at most {MAX_ATTRIBUTES} attributes, not {len(texts)}")
    attributes: dict[str, str] = {}
    for given_name, given_value in texts.items():
        try:
            name = read_name(given_name)
        except FieldsError as error:
            raise FieldsError(f"the name of an attribute, {shorten(given_name)}: {error}") from None
        if ":" in name:
            raise FieldsError(f"the name of an attribute cannot hold a colon: {shorten(name)}")
        if name in attributes:
            raise FieldsError(f"the attribute {shorten(name)} is there more than once")
        try:
            attributes[name] = read_name(given_value)
        except FieldsError as error:
            raise FieldsError(f"the attribute {shorten(name)}: {error}") from None
    return attributes


def shorten(value: Any) -> str:
    """What came, quoted for a message, at most 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _in_utc(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise FieldsError("captured_at needs a time zone")
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise FieldsError(f"captured_at {time.isoformat()} lies outside the years 1 to 9999 in UTC") from None
