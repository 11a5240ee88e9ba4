"""The application: its routes, its errors, and the loading behind them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib import metadata

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import docs_page, enrol, metrics, openapi, problems, query, records, status
from service.body_limit import BodyLimit
from service.cut_off import CutOff
from service.engine import Engine
from service.head import HeadAsGet
from service.jobs import routes as jobs
from service.opening import Opening
from service.settings import Settings
from service.uploads import body_bytes


def create_app(settings: Settings, on_failure: Callable[[Exception], None]) -> FastAPI:
    """The service with these settings.

    It listens at once and answers 503 until the engine is open, so that a large gallery does not look like a dead
    process. `on_failure` is called if the engine cannot be opened.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        opening: Opening = app.state.opening
        opening.start()
        yield
        await asyncio.to_thread(opening.end)

    # Offline: the documentation page brings its own scripts, because drones fly where no CDN is.
    app = FastAPIOffline(
        docs_url=None,  # `docs_page` has it
        redirect_slashes=False,  # a client that does not follow would take the empty redirect for an answer
        title="SANet Retrieval",
        summary="Finds a vehicle again in drone imagery.",
        version=metadata.version("sanet-retrieval"),
        lifespan=lifespan,
        responses=problems.RESPONSES,
        generate_unique_id_function=lambda route: route.name,  # what generated clients call their functions
    )
    app.state.is_stopping = lambda: False  # the server that runs it knows when
    app.state.opening = Opening(settings, app.state, on_failure)
    problems.install(app)
    for module in (query, enrol, records, jobs, status, metrics, docs_page):
        app.include_router(module.router)
    app.add_middleware(CutOff)
    app.add_middleware(BodyLimit, limit=partial(_largest_body, settings))
    app.add_middleware(_NameTheModel, state=app.state)
    app.add_middleware(HeadAsGet)
    app.openapi = partial(openapi.describe, app)  # type: ignore[method-assign]
    return app


def _largest_body(settings: Settings, path: str) -> int:
    """Bytes: files where files are expected."""
    megabytes = {"/query": settings.max_file_mb, "/gallery": settings.max_request_mb}.get(path, 0)
    return body_bytes(megabytes)


class _NameTheModel:
    """Puts the model into a header of every answer, and whether it was trained: also where the body has no place."""

    def __init__(self, app: ASGIApp, state: object) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        engine: Engine | None = getattr(self._state, "engine", None)

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start" and engine is not None:
                trained = "trained" if engine.card.trained else "untrained"
                MutableHeaders(scope=message).append("SANet-Model", f"{engine.card.fingerprint}; {trained}")
            await send(message)

        await self._app(scope, receive, named)
