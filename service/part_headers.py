"""What the headers of a part of a multipart form say: its names, its character set, its encoding."""

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

# ``; name="value"``: within quotes a backslash quotes what follows it, and semicolons are text.
_PARAMETER: Final = re.compile(rb';\s*([^\s=;"]+)\s*=\s*("(?:\\.|[^"\\])*"|[^;]*)', re.DOTALL)

_AS_IT_IS: Final = frozenset((b"7bit", b"8bit", b"binary", b"identity"))


class PartHeaderError(ValueError):
    """Headers of a part that cannot be used; the message says what to send instead."""


def parameters(header: bytes) -> dict[bytes, bytes]:
    """The parameters of a header's value by their names in lower case, without their quotes.

    Raises:
        PartHeaderError: one is there more than once.
    """
    found: dict[bytes, bytes] = {}
    for name, value in _parameters(header):
        if name in found:
            raise PartHeaderError(f"{name.decode('ascii', 'replace')} is there more than once in the head of a part")
        found[name] = value
    return found


def require_once(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> None:
    """Refuses headers (name in lower case, value) that have one more than once.

    Raises:
        PartHeaderError: they have.
    """
    if sum(name == header for header, _ in headers) > 1:
        raise PartHeaderError(f"a part has more than one {name.decode().title()}")


def require_as_it_is(headers: Iterable[tuple[bytes, bytes]], what: str) -> None:
    """Refuses a part that comes in another encoding than its own bytes, as e-mail's base64.

    Raises:
        PartHeaderError: it does.
    """
    for name, value in headers:
        encoding = value.strip().lower()
        if name in (b"content-transfer-encoding", b"content-encoding") and encoding not in _AS_IT_IS:
            shown = encoding[:40].decode("ascii", "replace")
            raise PartHeaderError(f"{what} is encoded in {shown}: send it as it is")


def text_of(data: bytes | bytearray, headers: Iterable[tuple[bytes, bytes]], what: str) -> str:
    """A part's text.

    Raises:
        PartHeaderError: it is not UTF-8, or another text in the character set that its ``Content-Type`` names.
    """
    try:
        text = require_utf8(data, what)
    except PartHeaderError as error:  # most likely a picture
        raise PartHeaderError(f"{error} (if it is a file, give it a filename)") from None
    content_type = next((value for name, value in headers if name == b"content-type"), b"")
    charset = parameters(content_type).get(b"charset")
    if charset is None:
        return text
    named = charset.decode("latin-1")
    try:
        # Many clients name a character set whatever they send: what is the same text in both is meant by both.
        same = is_utf8(named) or data.decode(named) == text
    except (LookupError, ValueError):
        same = False
    if not same:
        raise PartHeaderError(f"{what} is in {named[:40]!r}, not in UTF-8: send UTF-8, and leave the charset out")
    return text


def is_utf8(charset: str) -> bool:
    """Whether a character set's name is that of UTF-8, or of a part of it."""
    try:
        return codecs.lookup(charset).name in ("utf-8", "ascii")
    except (LookupError, ValueError):
        return False


def require_utf8(data: bytes | bytearray, what: str) -> str:
    """Text in UTF-8.

    Raises:
        PartHeaderError: it is not.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PartHeaderError(f"{what} is not UTF-8 from byte {error.start} on") from None


def extended_filename(value: bytes) -> str:
    """The text of ``filename*=utf-8''%E8%BB%8A.jpg`` (RFC 5987).

    Raises:
        PartHeaderError: it is not written so, or not in the character set that it names.
    """
    charset, _, rest = value.partition(b"'")
    _, quote, escaped = rest.partition(b"'")
    if not quote:
        raise PartHeaderError("filename* is written as RFC 5987 has it: filename*=utf-8''%E8%BB%8A.jpg")
    try:
        return unquote_to_bytes(escaped).decode(charset.decode("ascii"))
    except (LookupError, ValueError):
        raise PartHeaderError("filename* is not in the character set that it names") from None


def _parameters(header: bytes) -> Iterator[tuple[bytes, bytes]]:
    for match in _PARAMETER.finditer(header, max(header.find(b";"), 0)):
        name, value = match.groups()
        if value.startswith(b'"'):
            value = re.sub(rb"\\(.)", rb"\1", value[1:-1], flags=re.DOTALL)
        yield name.lower(), value.strip()
