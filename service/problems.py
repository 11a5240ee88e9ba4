"""Errors as ``application/problem+json`` (RFC 9457): one table says which exception is which answer."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match

from index.gallery import CursorError, GalleryError, RecordNotFoundError
from index.record import FieldsError
from model.box import BoxError
from model.embedder import EmbeddingError
from model.image import ImageError
from service.disconnect import ClientGoneError
from service.worker import QueueFullError, TooManyImagesError

_LOG = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """What every error looks like (RFC 9457); some have further members."""

    type: str
    title: str
    status: int
    detail: str


# For the OpenAPI document: what any call may answer besides what it is for.
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
    for status, description in (
        (400, "the body is not what its content type says"),
        (404, "there is no such record"),
        (413, "the body is too large"),
        (422, "the request cannot be used; `detail` says what to mend"),
        (429, "the queue is full; nothing was done, and `Retry-After` says when to send the request again"),
        (503, "still loading; `Retry-After` says when to try again"),
    )
}


class NotReadyError(Exception):
    """The model or the gallery is still loading."""

    retry_after_s = 2


# Exception -> (status, title). The first entry that an exception is an instance of counts. The title, in lower case
# and with dashes, is the problem's type.
_PROBLEMS: dict[type[Exception], tuple[int, str]] = {
    ImageError: (422, "Unusable image"),
    BoxError: (422, "Unusable box"),
    FieldsError: (422, "Unusable fields"),
    CursorError: (422, "Unknown cursor"),
    RecordNotFoundError: (404, "Record not found"),
    TooManyImagesError: (422, "Too many vehicles"),
    QueueFullError: (429, "Queue full"),
    NotReadyError: (503, "Not ready"),
    ClientGoneError: (499, "Client gone"),  # nobody reads it; it is for the log
    EmbeddingError: (500, "Embedding failed"),
    GalleryError: (500, "Gallery damaged"),
}

# Of what the framework raises; not http.HTTPStatus, whose phrases change with Python's version.
_TITLES = {400: "Malformed request", 404: "Not found", 405: "Method not allowed", 413: "Body too large"}


def problem(
    status: int, title: str, detail: str, *, headers: dict[str, str] | None = None, **extensions: Any
) -> JSONResponse:
    """One problem document; `extensions` are further members of it."""
    body = {"type": f"urn:sanet:problem:{title.lower().replace(' ', '-')}", "title": title, "status": status}
    return JSONResponse(body | {"detail": detail} | extensions, status, headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Makes every error of the app a problem document."""
    for exception in _PROBLEMS:
        app.add_exception_handler(exception, _known)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_http)
    app.add_exception_handler(Exception, _unexpected)


def _known(_: Request, error: Exception) -> JSONResponse:
    status, title = next(entry for kind, entry in _PROBLEMS.items() if isinstance(error, kind))
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, QueueFullError | NotReadyError) else {}
    if status == 500:
        _LOG.error("%s", error, exc_info=error)
    return problem(status, title, str(error), headers=headers)


def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
    sentences = [_sentence(entry) for entry in error.errors()]
    more = f" (and {len(sentences) - 3} more)" if len(sentences) > 3 else ""
    return problem(422, "Invalid request", "; ".join(sentences[:3]) + more)


def _sentence(entry: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in entry["loc"][1:]) or str(entry["loc"][0])
    if entry["type"] == "missing":
        return f"{place}: this field is required"
    if entry["type"] == "extra_forbidden":
        return f"{place}: there is no such field"
    message = entry["msg"].removeprefix("Value error, ")
    if entry.get("input") is None:
        return f"{place}: {message}"
    came = repr(entry.get("input"))
    return f"{place}: {message}; got {came if len(came) <= 80 else came[:77] + '...'}"


def _http(request: Request, error: HTTPException) -> JSONResponse:
    title = _TITLES.get(error.status_code) or HTTPStatus(error.status_code).phrase
    headers = dict(error.headers or {})
    detail = str(error.detail)
    if detail == "There was an error parsing the body":
        detail = "the body cannot be read: POST takes a multipart form, PATCH takes a JSON object"
    if error.status_code == 404:
        detail = f"there is nothing at {request.url.path}: GET /docs lists what there is"
    if error.status_code == 405:
        # Starlette names the methods of the first route with this path only.
        headers["Allow"] = ", ".join(_methods(request))
        detail = f"{request.url.path} does not take {request.method}: it takes {headers['Allow']}"
    return problem(error.status_code, title, detail, headers=headers)


def _methods(request: Request) -> list[str]:
    """The methods that some route takes at this path."""
    return [
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    _LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, "Internal error", "the service failed on this request; its log has the reason")
