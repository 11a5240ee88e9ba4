"""The OpenAPI document: what FastAPI cannot know, because forms and JSON bodies are read by this service itself."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.access.route_rules import rule_of
from service.access.scope import Scope
from service.forms import GalleryForm, QueryForm, VehicleFields
from service.jobs.group_forms import GroupReview
from service.jobs.kinds.bodies import PARAMETERS
from service.problems import Problem

_PREFIX = "#/components/schemas/"

_SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "sanet_<id>_<secret>"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def form_body(model: type[BaseModel]) -> dict[str, Any]:
    """A route's ``openapi_extra``: it takes this form."""
    return _body("multipart/form-data", model)


def json_body(*models: type[BaseModel]) -> dict[str, Any]:
    """A route's ``openapi_extra``: it takes this JSON object, or one of these, told apart by ``kind``."""
    return _body("application/json", *models)


def describe(app: FastAPI) -> dict[str, Any]:
    """The document of the app's routes, made once."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, summary=app.summary, version=app.version, routes=app.routes)
        schemas = document["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, which no answer has
            schemas.pop(name, None)
        bodies: list[type[BaseModel]] = [
            QueryForm,
            GalleryForm,
            VehicleFields,
            *PARAMETERS.values(),
            GroupReview,
            Problem,
        ]
        _, described = models_json_schema([(model, "validation") for model in bodies], ref_template=_PREFIX + "{model}")
        schemas |= described["$defs"]
        for form in (QueryForm, GalleryForm):
            schema = schemas[form.__name__]
            required = schema.get("required", [])
            for name, field in schema["properties"].items():
                _leave_out_null(field)
                if name not in required:
                    _leave_empty(field)
            schema["properties"] = dict(sorted(schema["properties"].items(), key=lambda item: item[0] not in required))
        for parameter in _parameters(document):
            _leave_out_null(parameter["schema"])
            _leave_empty(parameter["schema"])
        document["components"]["schemas"] = dict(sorted(schemas.items()))
        document["components"]["securitySchemes"] = _SECURITY_SCHEMES
        for operation in _operations(document):
            _say_who_may(operation)
        app.openapi_schema = document
    return app.openapi_schema


def _body(media_type: str, *models: type[BaseModel]) -> dict[str, Any]:
    references = [{"$ref": _PREFIX + model.__name__} for model in models]
    schema: dict[str, Any] = references[0] if len(models) == 1 else {"oneOf": references}
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}


def _parameters(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operation in _operations(document):
        yield from (parameter for parameter in operation.get("parameters", []) if parameter["in"] == "query")


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operations in document["paths"].values():
        yield from operations.values()


def _say_who_may(operation: dict[str, Any]) -> None:
    """Its security, and in words the scope, for which OpenAPI has no place where keys are concerned."""
    scope = rule_of(operation["operationId"]).scope
    if scope is Scope.OPEN:
        operation["security"] = []
        for status in ("401", "403"):
            operation["responses"].pop(status, None)
        return
    operation["security"] = [{scheme: []} for scheme in _SECURITY_SCHEMES]
    description = operation.get("description", "")
    operation["description"] = f"{description}\n\nNeeds a key with the scope `{scope.label}`.".strip()


def _leave_out_null(field: dict[str, Any]) -> None:
    """A field of a form or a query string is there or not; nothing in them is null."""
    choices = [choice for choice in field.pop("anyOf", []) if choice != {"type": "null"}]
    if choices:
        described = {"description": field["description"]} if "description" in field else {}
        field.update({**choices[0], **described})
    if "const" in field:
        field["enum"] = [field.pop("const")]


def _leave_empty(field: dict[str, Any]) -> None:
    """The page fills a form with examples of its own making, which would be sent as conditions; an empty one is not."""
    if field.get("default", 0) in (None, []):
        del field["default"]
    empty: dict[str, Any] = {"string": "", "array": []}
    if field["type"] in empty and field.get("format") != "binary":
        field["example"] = empty[field["type"]]
