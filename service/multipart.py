"""``multipart/form-data``, read strictly: a body that is cut off or not UTF-8 is refused, and nothing of it is used."""

import errno
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, TypeVar

from fastapi import Request
from pydantic import BaseModel
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from index.gallery.fields import shorten
from service.content_coding import require_plain_body
from service.part_headers import (
    PartHeaderError,
    extended_filename,
    is_utf8,
    parameters,
    require_as_it_is,
    require_once,
    require_utf8,
    text_of,
)
from service.strict_fields import is_file, validate_fields

MAX_TEXT_BYTES: Final = 1_000_000
"""The largest text field: room for the metadata of 256 files."""

_MAX_FIELDS: Final = 2000
"""More than the longest lists of a form; a form of more is no form of this service."""

_Form = TypeVar("_Form", bound=BaseModel)


@asynccontextmanager
async def read_form(request: Request, model: type[_Form]) -> AsyncIterator[_Form]:
    """The request's form as a `model`; its files are closed when the block is left.

    Raises:
        HTTPException: 415 for another content type, 400 for a body that is not what its content type says.
        RequestValidationError: a field that `model` does not take, by name.
    """
    content_type = request.headers.get("content-type", "")
    media_type, options = parse_options_header(content_type)
    if media_type != b"multipart/form-data":
        came = f"got {content_type[:80]!r}" if content_type else "the content type is missing"
        file = next(name for name, field in model.model_fields.items() if is_file(field.annotation))
        raise HTTPException(415, f"a multipart form was expected (curl: -F {file}=@FILE); {came}")
    require_plain_body(request)
    charset = options.get(b"charset", b"utf-8").decode("latin-1")
    if not is_utf8(charset):
        raise HTTPException(400, f"the form's text must be UTF-8, not {charset[:80]!r}: leave the charset out")
    # Not the framework's own limits: a file may have any size here, the whole body is limited before.
    parser = StrictMultiPartParser(
        request.headers,
        request.stream(),
        max_files=_MAX_FIELDS,
        max_fields=_MAX_FIELDS,
        max_part_size=MAX_TEXT_BYTES,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400, f"the body is no whole multipart form: {_said(error)}") from None
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

    _num_delimiters = 0
    _closed = False

    def on_part_begin(self) -> None:
        """Notes that a part begins."""
        self._num_delimiters += 1
        self._charset = "utf-8"  # also where the header says us-ascii: what is not ASCII would become Latin-1
        super().on_part_begin()

    def on_headers_finished(self) -> None:
        """Notes what a part is; a file's name may come as RFC 5987 writes it, as some clients still do."""
        part = self._current_part
        with _as_form_error():
            disposition = part.content_disposition or b""
            require_once(part.item_headers, b"content-disposition")
            require_utf8(disposition, "the name of a field or a file")
            given = parameters(disposition)
            if b"filename*" in given and b"filename" not in given:
                name = extended_filename(given[b"filename*"])
                quoted = name.replace("\\", "\\\\").replace('"', '\\"').encode()
                part.content_disposition = disposition + b'; filename="' + quoted + b'"'
            super().on_headers_finished()
            require_as_it_is(part.item_headers, _what(part.field_name))

    def on_part_end(self) -> None:
        """Notes that a part is whole."""
        part = self._current_part
        if part.file is None:
            with _as_form_error():
                text_of(part.data, part.item_headers, _what(part.field_name))
        super().on_part_end()

    def on_end(self) -> None:
        """Notes that the closing boundary came."""
        self._num_delimiters += 1
        self._closed = True

    async def parse(self) -> FormData:
        """Reads the body.

        Raises:
            MultiPartException: it cannot be parsed, is not UTF-8, ends before its closing boundary, or has lines with
                the boundary that begin no part: what belongs to them would be lost, or be taken for a file's end.
        """
        boundary = parse_options_header(self.headers["Content-Type"])[1].get(b"boundary", b"")
        lines = BoundaryLines(boundary)
        self.stream = lines.counted(self.stream)
        form = await super().parse()
        wrong = None
        if not self._closed:
            wrong = "it ends without its closing boundary, so that something may be missing"
        elif lines.num_lines != self._num_delimiters:
            wrong = (
                "its boundary is also where no part begins: each line with it ends in CR LF, and -- follows the last "
                "one alone"
            )
        if wrong is not None:
            for file in self._files_to_close_on_error:  # also of a part without its end, which is not in the form
                file.close()
            raise MultiPartException(wrong)
        return form


class BoundaryLines:
    """Counts the lines of a body that begin with its boundary; a part must not have one (RFC 2046, 5.1.1)."""

    def __init__(self, boundary: bytes) -> None:
        self.num_lines = 0
        self._line = b"\n--" + boundary
        self._end = b"\n"  # the body's first line begins after nothing

    async def counted(self, stream: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """The body's chunks, as they come."""
        async for chunk in stream:
            seen = self._end + chunk
            self.num_lines += seen.count(self._line)
            self._end = seen[len(seen) - min(len(self._line) - 1, len(seen)) :]
            yield chunk


@contextmanager
def _as_form_error() -> Iterator[None]:
    try:
        yield
    except PartHeaderError as error:
        raise MultiPartException(str(error)) from None


def _what(field_name: str) -> str:
    return f"the field {shorten(field_name)}"


def _said(error: MultiPartException) -> str:
    """What is wrong, without the words of the libraries that found it."""
    if "Maximum header" in str(error.__cause__):
        return "the head of a part is longer than a file's name can be"
    if isinstance(error.__cause__, FormParserError):
        return (
            "its parts cannot be told apart: each begins with a line -- and the boundary that Content-Type names, "
            "each line ends in CR LF, and an empty one ends the head of a part"
        )
    if error.message.startswith("Part exceeded"):
        return f"a text field has more than {MAX_TEXT_BYTES:,} bytes (if it is a file, give it a filename)"
    if error.message.startswith("Too many"):
        return f"it has more than {_MAX_FIELDS:,} fields or files"
    if error.message.startswith("Missing boundary"):
        return "its Content-Type names no boundary: leave that header to the library that writes the form"
    if error.message.startswith("The Content-Disposition"):
        return 'a part has no name: it needs a header Content-Disposition: form-data; name="..."'
    return error.message
