"""``multipart/form-data``, read strictly: a body that is cut off or not UTF-8 is refused, and nothing of it is used."""

import codecs
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeVar
from urllib.parse import unquote_to_bytes

from fastapi import Request
from pydantic import BaseModel
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from service.strict_fields import validate_fields

MAX_TEXT_BYTES: Final = 1_000_000
"""The largest text field: room for the metadata of 256 files."""

_Form = TypeVar("_Form", bound=BaseModel)


@asynccontextmanager
async def read_form(request: Request, model: type[_Form]) -> AsyncIterator[_Form]:
    """The request's form as a `model`; its files are closed when the block is left.

    Raises:
        HTTPException: 415 for another content type, 400 for a body that is not what its content type says.
        RequestValidationError: a field that `model` does not take, by name.
    """
    content_type = request.headers.get("content-type", "")
    media_type, parameters = parse_options_header(content_type)
    if media_type != b"multipart/form-data":
        came = f"got {content_type[:80]!r}" if content_type else "the content type is missing"
        file = next(name for name, field in model.model_fields.items() if field.is_required())
        raise HTTPException(415, f"a multipart form was expected (curl: -F {file}=@FILE); {came}")
    charset = parameters.get(b"charset", b"utf-8").decode("latin-1")
    if not _is_utf8(charset):
        raise HTTPException(400, f"the form's text must be UTF-8, not {charset[:80]!r}: leave the charset out")
    # Not the framework's own limits: a file may have any size here, the whole body is limited before.
    parser = StrictMultiPartParser(request.headers, request.stream(), max_part_size=MAX_TEXT_BYTES)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400, f"the body is no whole multipart form: {error.message}") from None
    except OSError as error:  # large files wait on the disk until they are decoded
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise HTTPException(507, "the disk where uploads wait is full: nothing was done; free space") from error
    try:
        yield validate_fields(model, form.multi_items(), "body")
    finally:
        await form.close()


class StrictMultiPartParser(MultiPartParser):
    """Starlette's parser, which takes a body without its end for a whole one and any bytes for Latin-1."""

    _closed = False

    def on_part_begin(self) -> None:
        """Notes that a part begins."""
        self._charset = "utf-8"  # also where the header says us-ascii: what is not ASCII would become Latin-1
        super().on_part_begin()

    def on_headers_finished(self) -> None:
        """Notes what a part is; a file's name may come as RFC 5987 writes it, as some clients still do."""
        disposition = self._current_part.content_disposition or b""
        _require_utf8(disposition, "the name of a field or a file")
        extended = _extended_filename(disposition)
        if extended is not None and b"filename" not in parse_options_header(disposition)[1]:
            quoted = extended.replace("\\", "\\\\").replace('"', '\\"').encode()
            self._current_part.content_disposition = disposition + b'; filename="' + quoted + b'"'
        super().on_headers_finished()

    def on_part_end(self) -> None:
        """Notes that a part is whole."""
        if self._current_part.file is None:
            _require_utf8(self._current_part.data, f"the field {self._current_part.field_name[:80]!r}")
        super().on_part_end()

    def on_end(self) -> None:
        """Notes that the closing boundary came."""
        self._closed = True

    async def parse(self) -> FormData:
        """Reads the body.

        Raises:
            MultiPartException: it cannot be parsed, is not UTF-8, or ends before its closing boundary.
        """
        form = await super().parse()
        if not self._closed:
            for file in self._files_to_close_on_error:  # also of a part without its end, which is not in the form
                file.close()
            raise MultiPartException("it ends without its closing boundary, so that something may be missing")
        return form


def _is_utf8(charset: str) -> bool:
    try:
        return codecs.lookup(charset).name in ("utf-8", "ascii")
    except LookupError:
        return False


def _require_utf8(text: bytes | bytearray, what: str) -> None:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MultiPartException(f"{what} is not UTF-8 from byte {error.start} on") from None


def _extended_filename(disposition: bytes) -> str | None:
    """The text of ``filename*=utf-8''%E8%BB%8A.jpg``, if there is one."""
    for part in disposition.split(b";"):
        name, _, value = part.strip().partition(b"=")
        if name.lower() == b"filename*":
            charset, _, rest = value.strip(b'"').partition(b"'")
            try:
                return unquote_to_bytes(rest.partition(b"'")[2]).decode(charset.decode("ascii"))
            except (UnicodeDecodeError, LookupError):
                raise MultiPartException("filename* is not in the character set that it names") from None
    return None
