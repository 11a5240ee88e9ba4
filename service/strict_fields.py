"""What parsers let pass silently and a user did not mean: empty fields, repeated ones, text where a file belongs.

The one strictness of forms and query strings: FastAPI takes an empty field for one that was left out, and the last of a
repeated one, so that ``-F box=$BOX`` with an unset variable would silently search with the whole frame.
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar, get_args, get_origin
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

_Fields = TypeVar("_Fields", bound=BaseModel)


def validate_fields(model: type[_Fields], items: Sequence[tuple[str, str | UploadFile]], place: str) -> _Fields:
    """Fields as they came, in order, as a `model`.

    Raises:
        RequestValidationError: one that is empty, repeated without being a list, of the other kind (a file for a text),
            or that `model` refuses.
    """
    lists, files = _lists(model), _files(model)
    errors = [
        _error(place, name, "it is empty: leave the field out, or give it a value")
        for name, value in items
        if value == ""
    ]
    errors += [
        _error(place, name, "it is there more than once: give it one value")
        for name, count in Counter(name for name, _ in items).items()
        if count > 1 and name not in lists and name in model.model_fields
    ]
    for name, value in items:
        if name in files and isinstance(value, str) and value:
            errors.append(_error(place, name, f"send a file (curl: -F {name}=@FILE)"))
        elif name in model.model_fields and name not in files and isinstance(value, UploadFile):
            errors.append(_error(place, name, f"send it as text (curl: -F '{name}=<FILE')"))
    if errors:
        raise RequestValidationError(errors)
    values: dict[str, Any] = {}
    for name, value in items:
        if name in lists:
            values.setdefault(name, []).append(value)
        else:
            values[name] = value
    return validate(model, values, place)


def validate(model: type[_Fields], values: Any, place: str) -> _Fields:
    """Values as a `model`.

    Raises:
        RequestValidationError: it refuses them.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RequestValidationError(
            [{**entry, "loc": (place, *entry["loc"])} for entry in error.errors(include_url=False)]
        ) from None


async def strict_query_string(request: Request) -> None:
    """A dependency that refuses a query string that is not UTF-8, or has a parameter that the route does not take.

    Raises:
        HTTPException: 400, it is not UTF-8, or not percent-encoded.
        RequestValidationError: an unknown, empty or needlessly repeated parameter.
    """
    raw: bytes = request.scope["query_string"]
    if re.search(rb"%(?![0-9A-Fa-f]{2})", raw):
        raise HTTPException(400, "the query string has a % without two hexadecimal digits: write a % as %25")
    try:
        items = parse_qsl(raw.decode("utf-8"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise HTTPException(400, "the query string is not UTF-8: percent-encode it as UTF-8") from None
    models = [
        parameter.field_info.annotation
        for parameter in request.scope["route"].dependant.query_params
        if isinstance(parameter.field_info.annotation, type) and issubclass(parameter.field_info.annotation, BaseModel)
    ]
    if models:
        validate_fields(models[0], items, "query")
    elif items:
        where = "send it as a form field" if request.method == "POST" else "there is no such field"
        raise RequestValidationError([_error("query", name, where) for name, _ in items])


def is_file(annotation: Any) -> bool:
    """Whether a field is for a file, or for several."""
    if isinstance(annotation, type):
        return issubclass(annotation, UploadFile)
    return any(is_file(argument) for argument in get_args(annotation))


@cache
def _lists(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(name for name, field in model.model_fields.items() if get_origin(field.annotation) is list)


@cache
def _files(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(name for name, field in model.model_fields.items() if is_file(field.annotation))


def _error(place: str, name: str, message: str) -> dict[str, Any]:
    return {"type": "unclear", "loc": (place, name), "msg": message, "input": None}
