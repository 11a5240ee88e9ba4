"""Errors as ``application/problem+json`` (RFC 9457): one table says which exception is which answer."""

import json
import logging
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from index.gallery.errors import (
    CursorError,
    DeletionNotFoundError,
    DeletionUndoneError,
    GalleryError,
    GalleryFullError,
    GalleryUnavailableError,
    OtherNumberError,
    RecordNotFoundError,
    ReplacedError,
)
from index.gallery.fields import FieldsError, shorten
from model.box import BoxError
from model.image import ImageError
from service.access.call import current_request_id
from service.access.errors import (
    KeyInAddressError,
    KeyStoreError,
    NoKeyError,
    OtherSiteError,
    RateLimitedError,
    ScopeError,
    TooManyUploadsError,
)
from service.audit.audit_store import AuditStoreError, AuditUnreadableError
from service.device import DeviceError
from service.disconnect import ClientGoneError
from service.jobs.errors import (
    GroupNotFoundError,
    GroupOutdatedError,
    GroupReviewedError,
    JobFileNotFoundError,
    JobFinishedError,
    JobNotFoundError,
    JobStoreAwayError,
    JobStoreError,
    NotConfiguredError,
    NotInGroupError,
    TooManyJobsError,
    UnusableDataError,
)
from service.pools import BusyError
from service.uploads import UploadsBusyError
from service.worker import QueueFullError, TooManyImagesError

_LOG = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

PROBLEM_TYPES: Final = "sanet.problem_types"
"""Where a request's ASGI scope may have a list, to which the type of the problem document that answers it is added."""

_TYPE: Final = "urn:sanet:problem:"


class Problem(BaseModel):
    """What every error looks like (RFC 9457); some have further members."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None = Field(None, description="the answer's X-Request-Id, which the log has as well")


def response(status: int, description: str) -> dict[int | str, dict[str, Any]]:
    """A route's ``responses``: a problem document with this status."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {status: {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}}


# For the OpenAPI document: what any call may answer besides what it is for.
RESPONSES: dict[int | str, dict[str, Any]] = (
    response(400, "the body is not what its content type says")
    | response(401, "a valid key is needed, and none came")
    | response(403, "the key that came has not the scope that this needs; `detail` names it")
    | response(404, "there is no such record")
    | response(413, "the body is too large")
    | response(415, "the body has another content type than was expected")
    | response(422, "the request cannot be used; `detail` says what to mend")
    | response(429, "too much comes now; nothing was done, and `Retry-After` says when to send the request again")
    | response(503, "still loading, or its device fails; `Retry-After` says when to try again")
    | response(507, "the gallery's disk is full; nothing was stored")
)


class OtherModelError(Exception):
    """What was asked for needs the model that embedded a record, and this service has another one."""


class CalibrationNotFoundError(Exception):
    """The gallery has no calibration of its own."""


class NotReadyError(Exception):
    """The model or the gallery is still loading."""

    retry_after_s = 2


class ShuttingDownError(Exception):
    """The service is being stopped, and takes requests only until balancers have noticed."""

    retry_after_s = 10

    def __init__(self) -> None:
        super().__init__("the service is being stopped: send requests elsewhere, or again once it runs")


# Exception -> (status, title). The first entry that an exception is an instance of counts. The title, in lower case
# and with dashes, is the problem's type.
_PROBLEMS: dict[type[Exception], tuple[int, str]] = {
    NoKeyError: (401, "Key needed"),
    ScopeError: (403, "Scope needed"),
    OtherSiteError: (403, "Other site"),
    KeyInAddressError: (400, "Key in address"),
    RateLimitedError: (429, "Too many requests"),
    TooManyUploadsError: (429, "Too many uploads"),
    KeyStoreError: (503, "Keys not readable"),
    AuditUnreadableError: (503, "Audit not readable"),
    AuditStoreError: (507, "Audit not written"),
    ImageError: (422, "Unusable image"),
    BoxError: (422, "Unusable box"),
    FieldsError: (422, "Unusable fields"),
    CursorError: (422, "Unknown cursor"),
    RecordNotFoundError: (404, "Record not found"),
    OtherNumberError: (409, "Other number"),
    DeletionNotFoundError: (404, "Deletion not found"),
    DeletionUndoneError: (409, "Deletion undone"),
    OtherModelError: (409, "Other model"),
    UnusableDataError: (422, "Unusable data"),
    CalibrationNotFoundError: (404, "Calibration not found"),
    NotConfiguredError: (409, "Not configured"),
    JobNotFoundError: (404, "Job not found"),
    JobFileNotFoundError: (404, "Job file not found"),
    GroupNotFoundError: (404, "Group not found"),
    GroupReviewedError: (409, "Group reviewed"),
    GroupOutdatedError: (409, "Group outdated"),
    NotInGroupError: (422, "Not in group"),
    JobFinishedError: (409, "Job finished"),
    TooManyJobsError: (429, "Too many jobs"),
    JobStoreError: (507, "Jobs not stored"),
    JobStoreAwayError: (503, "Jobs unavailable"),
    TooManyImagesError: (422, "Too many vehicles"),
    QueueFullError: (429, "Queue full"),
    UploadsBusyError: (429, "Uploads busy"),
    BusyError: (429, "Busy"),
    DeviceError: (503, "Device failed"),
    NotReadyError: (503, "Not ready"),
    ShuttingDownError: (503, "Shutting down"),
    ClientGoneError: (499, "Client gone"),  # nobody reads it; it is for the log
    ClientDisconnect: (499, "Client gone"),  # before its body was whole
    ReplacedError: (503, "Gallery replaced"),
    GalleryUnavailableError: (503, "Gallery unavailable"),
    GalleryFullError: (507, "Gallery full"),
    GalleryError: (500, "Gallery damaged"),
}

# Of what the framework raises; not http.HTTPStatus, whose phrases change with Python's version.
_TITLES = {
    400: "Malformed request",
    404: "Not found",
    405: "Method not allowed",
    408: "Upload stalled",
    413: "Body too large",
    415: "Unsupported content type",
    507: "Disk full",
}


def problem(
    status: int, title: str, detail: str, *, headers: dict[str, str] | None = None, **extensions: Any
) -> JSONResponse:
    """One problem document; `extensions` are further members of it."""
    return _ProblemResponse(problem_body(status, title, detail) | extensions, status, headers, media_type=MEDIA_TYPE)


class _ProblemResponse(JSONResponse):
    """Says its type to whoever counts the answers."""

    def __init__(self, body: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(body, *args, **kwargs)
        self._type = body["type"].removeprefix(_TYPE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if PROBLEM_TYPES in scope:
            scope[PROBLEM_TYPES].append(self._type)
        await super().__call__(scope, receive, send)


def problem_body(status: int, title: str, detail: str) -> dict[str, Any]:
    """The members that every problem document has."""
    detail = detail.encode("utf-8", "backslashreplace").decode()  # a client's JSON may name halves of characters
    type_ = f"{_TYPE}{title.lower().replace(' ', '-')}"
    body = {"type": type_, "title": title, "status": status, "detail": detail}
    request_id = current_request_id()
    return body if request_id is None else {**body, "request_id": request_id}


def install(app: FastAPI) -> None:
    """Makes every error of the app a problem document."""
    for exception in _PROBLEMS:
        app.add_exception_handler(exception, _known)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_http)
    app.add_exception_handler(Exception, _unexpected)


# They are coroutines, because the framework would have a thread for each call of a plain function.


async def _known(_: Request, error: Exception) -> JSONResponse:
    status, title = next(entry for kind, entry in _PROBLEMS.items() if isinstance(error, kind))
    # Those that pass by themselves say when to come again.
    retry_after_s = getattr(error, "retry_after_s", None)
    headers = getattr(error, "headers", {})
    if retry_after_s is not None:
        headers = {**headers, "Retry-After": str(retry_after_s)}
    if status == 500:
        _LOG.error("%s", error, exc_info=error)
    return problem(status, title, str(error), headers=headers)


async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
    sentences = [_sentence(entry) for entry in error.errors()]
    more = f" (and {len(sentences) - 3} more)" if len(sentences) > 3 else ""
    return problem(422, "Invalid request", "; ".join(sentences[:3]) + more)


# What pydantic says of some errors is for those who know Python's types; this is for everybody.
_SAID: dict[str, str] = {
    "missing": "this field is required",
    "extra_forbidden": "there is no such field",
    "string_type": "a text was expected",
    "string_unicode": "a text without lone surrogates was expected",
    "int_type": "a whole number was expected",
    "float_type": "a number was expected",
    "finite_number": "a finite number was expected",
    "list_type": "a list was expected",
    "dict_type": "an object of texts by name was expected",
    "model_type": "a JSON object was expected",
    "model_attributes_type": "a JSON object was expected",
}


def _sentence(entry: dict[str, Any]) -> str:
    place = ".".join(_part_of_place(part) for part in entry["loc"][1:]) or str(entry["loc"][0])
    kind, context = entry["type"], entry.get("ctx", {})
    if kind == "too_long":
        return f"{place}: at most {context['max_length']} were expected, {context['actual_length'] or 'more'} came"
    if kind == "string_too_long":
        return f"{place}: at most {context['max_length']} characters were expected"
    message = _SAID.get(kind) or entry["msg"].removeprefix("Value error, ")
    came = entry.get("input")
    # Only what JSON can say, and never a whole document: files and bytes are not echoed.
    if kind in ("missing", "extra_forbidden") or not isinstance(came, str | int | float | bool):
        return f"{place}: {message}"
    if isinstance(came, str) and shorten(came) in message:
        return f"{place}: {message}"
    shown = json.dumps(came, ensure_ascii=False)
    return f"{place}: {message}; got {shown if len(shown) <= 80 else shown[:77] + '...'}"


def _part_of_place(part: str | int) -> str:
    """A field's name as it came, but for names that nobody can have meant: long, empty or with line breaks."""
    text = str(part)
    return text if text.isprintable() and 0 < len(text) <= 80 else shorten(text)


async def _http(request: Request, error: HTTPException) -> JSONResponse:
    title = _TITLES.get(error.status_code) or HTTPStatus(error.status_code).phrase
    headers = dict(error.headers or {})
    detail = str(error.detail)
    if error.status_code == 404:
        detail = f"there is nothing at {_path(request)}: GET /docs lists what there is"
    if error.status_code == 405:
        # Starlette names the methods of the first route with this path only.
        headers["Allow"] = ", ".join(_methods(request))
        detail = f"{_path(request)} does not take {request.method}: it takes {headers['Allow']}"
    return problem(error.status_code, title, detail, headers=headers)


def _path(request: Request) -> str:
    path = request.url.path
    return path if len(path) <= 200 else f"{path[:200]}..."


def _methods(request: Request) -> list[str]:
    """The methods that some route takes at this path; whatever takes GET takes HEAD (`HeadAsGet`)."""
    methods = {
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    }
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    _LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, "Internal error", "the service failed on this request; its log has the reason")
