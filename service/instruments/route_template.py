"""Which route a request is for, as a template: what counts and log lines may be grouped by."""

from collections.abc import Sequence
from typing import Final

from starlette.routing import BaseRoute, Match
from starlette.types import Scope

_NO_ROUTE: Final = "none"


class RouteTemplates:
    """Of all that a request may be for."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = routes

    def of(self, scope: Scope) -> str:
        """The path of the request's route, such as ``/gallery/{id}``; never what the client has put into it."""
        route = scope.get("route") or self._route_at(scope)
        return _NO_ROUTE if route is None else str(getattr(route, "path", _NO_ROUTE))

    def _route_at(self, scope: Scope) -> BaseRoute | None:
        """The route of a request that was answered before it reached one, or that was passed on as another (HEAD)."""
        asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        partial = None
        for route in self._routes:
            match, _ = route.matches(asked)
            if match is Match.FULL:
                return route
            if match is Match.PARTIAL and partial is None:
                partial = route
        return partial
