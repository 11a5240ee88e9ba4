"""JSON, read strictly: what is repeated, not finite or not UTF-8 is refused, and errors say where."""

import json
import re
from typing import Any, NoReturn, TypeVar

from fastapi import Request
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from index.gallery.fields import shorten
from service.content_coding import require_plain_body
from service.strict_fields import validate

_Body = TypeVar("_Body", bound=BaseModel)


class JsonError(ValueError):
    """A text that is not JSON, or says something twice; the message says where."""


def parse_json(text: str) -> Any:
    """The value in a JSON text; a byte order mark before it is no part of it.

    Raises:
        JsonError: it is none, names a key of an object twice, or has numbers that JSON has not (``NaN``).
    """
    try:
        return json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_object, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        reason = error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
        raise JsonError(f"it is not JSON: {reason} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise JsonError("it is nested too deeply") from None
    except JsonError:
        raise
    except ValueError:  # Python reads no integer of over 4,300 digits
        raise JsonError("it has a number of too many digits") from None


async def read_json(request: Request, model: type[_Body]) -> _Body:
    """The request's body, a JSON object, as a `model`.

    Raises:
        HTTPException: 415 for another content type, 400 for a body that is no JSON in UTF-8.
        RequestValidationError: a field that `model` does not take, by name.
    """
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    # Not a patch by RFC 6902 or 7396: its members would mean something else than ours.
    if media_type != "application/json" and not re.fullmatch(r"application/[\w.-]+(?<!patch)\+json", media_type):
        came = f"got {content_type[:80]!r}" if content_type else "the content type is missing"
        raise HTTPException(415, f"send a JSON object with the header Content-Type: application/json; {came}")
    require_plain_body(request)
    try:
        value = parse_json((await request.body()).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise HTTPException(400, f"the body is not UTF-8 from byte {error.start} on") from None
    except JsonError as error:
        raise HTTPException(400, f"the body cannot be used: {error}") from None
    return validate(model, value, "body")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise JsonError(f"{shorten(name)} is there more than once in one object")
        values[name] = value
    return values


def _no_number(text: str) -> NoReturn:
    raise JsonError(f"{text} is no number in JSON")
