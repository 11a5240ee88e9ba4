"""What a form parser lets pass silently and a user did not mean: empty fields, repeated ones, a query string."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, get_origin

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel


def strict_form(model: type[BaseModel]) -> Callable[[Request], Awaitable[None]]:
    """A dependency that refuses what `model` would not get to see.

    FastAPI takes an empty field for one that was left out, and the last of a repeated one: ``-F box=$BOX`` with an
    unset variable would silently search with the whole frame.
    """
    repeatable = {name for name, field in model.model_fields.items() if get_origin(field.annotation) is list}

    async def check(request: Request) -> None:
        errors = [_error("query", name, "not_here", "send it as a form field") for name in request.query_params]
        items = (await request.form()).multi_items()
        errors += [
            _error("body", name, "empty", "it is empty: leave the field out, or give it a value")
            for name, value in items
            if value == ""
        ]
        errors += [
            _error("body", name, "repeated", "it is there more than once: give it one value")
            for name, count in Counter(name for name, _ in items).items()
            if count > 1 and name not in repeatable
        ]
        if errors:
            raise RequestValidationError(errors)

    return check


def _error(place: str, name: str, kind: str, message: str) -> dict[str, Any]:
    return {"type": kind, "loc": (place, name), "msg": message, "input": None}
