"""The application: its routes, its errors, and the loading behind them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib import metadata

from fastapi import Depends, FastAPI
from fastapi_offline import FastAPIOffline
from opentelemetry.trace import TracerProvider
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from service import docs_page, enrol, metrics, openapi, problems, query, records, status
from service.access.answer_headers import AnswerHeaders
from service.access.guard import Guard
from service.access_log import AccessLog
from service.audit import routes as audit
from service.audit.audit_log import AuditLog
from service.audit.recorder import RecordAnswers, Recorder
from service.body_limit import BodyLimit
from service.cut_off import CutOff
from service.engine_lease import LeaseEngine
from service.entrance import enter
from service.head import HeadAsGet
from service.instruments.count_requests import CountRequests
from service.instruments.disk_usage import DiskUsage
from service.instruments.instruments import Instruments
from service.jobs import group_routes
from service.jobs import routes as jobs
from service.opening import Opening
from service.page import routes as page
from service.retention import routes as retention
from service.retention.sweeps import RetentionSweeps
from service.settings import Settings
from service.tracing import telemetry
from service.uploads import body_bytes


def create_app(
    settings: Settings, on_failure: Callable[[Exception], None], tracer_provider: TracerProvider | None = None
) -> FastAPI:
    """The service with these settings.

    It listens at once and answers 503 until the engine is open, so that a large gallery does not look like a dead
    process. `on_failure` is called if the engine cannot be opened; `tracer_provider` sends traces of requests.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        opening: Opening = app.state.opening
        opening.start()
        disk_usage.start()
        if sweeps is not None:
            sweeps.start()
        yield
        disk_usage.stop()
        if sweeps is not None:
            await asyncio.to_thread(sweeps.stop)
        await asyncio.to_thread(opening.end)
        await asyncio.to_thread(audit_log.close)

    # Offline: the documentation page brings its own scripts, because drones fly where no CDN is.
    app = FastAPIOffline(
        docs_url=None,  # `docs_page` has it
        redoc_url=None,  # the same once more, which would need a policy of its own for its scripts
        redirect_slashes=False,  # a client that does not follow would take the empty redirect for an answer
        title="SANet Retrieval",
        summary="Finds a vehicle again in drone imagery.",
        version=metadata.version("sanet-retrieval"),
        lifespan=lifespan,
        responses=problems.RESPONSES,
        generate_unique_id_function=lambda route: route.name,  # what generated clients call their functions
        dependencies=[Depends(enter)],
        telemetry=telemetry(tracer_provider),
    )
    instruments, disk_usage = Instruments(tracer_provider), DiskUsage(settings.data_dir)
    audit_log = AuditLog(settings.data_dir, settings.audit_days, settings.database_address)
    sweeps = (
        None if settings.retention is None else RetentionSweeps(settings.retention, app.state, audit_log, instruments)
    )
    app.state.guard = Guard(settings)
    app.state.audit_log = audit_log
    app.state.recorder = Recorder(audit_log)
    # The server that runs it knows when.
    app.state.is_stopping = lambda: False
    app.state.is_closing = lambda: False
    app.state.instruments = instruments
    app.state.disk_usage = disk_usage
    app.state.opening = Opening(settings, app.state, on_failure, instruments)
    problems.install(app)
    routes = list(app.routes)
    for module in (query, enrol, retention, records, jobs, group_routes, status, metrics, audit, docs_page, page):
        app.include_router(module.router)
        routes += module.router.routes
    count_requests = partial(CountRequests, instruments=instruments, routes=routes)
    log_requests = partial(AccessLog, routes=routes)
    app.add_middleware(CutOff)
    app.add_middleware(BodyLimit, limit=partial(_largest_body, settings))
    app.add_middleware(LeaseEngine, state=app.state)
    app.add_middleware(HeadAsGet)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE"],
            allow_headers=[
                "Authorization",
                "X-API-Key",
                "Content-Type",
                "If-None-Match",
                "Last-Event-ID",
                "X-Request-Id",
            ],
            expose_headers=["*"],
        )
    app.openapi = partial(openapi.describe, app)  # type: ignore[method-assign]
    build = partial(_all_around, app.build_middleware_stack, settings, app.state.recorder)
    app.build_middleware_stack = lambda: log_requests(count_requests(build()))  # type: ignore[method-assign]
    return app


def _all_around(build: Callable[[], ASGIApp], settings: Settings, recorder: Recorder) -> ASGIApp:
    """The application within what has to see every answer, also that to an internal error."""
    # Images may be shown by the pages that may call the service, and by no others.
    app = AnswerHeaders(RecordAnswers(build(), recorder), "cross-origin" if settings.cors_origins else "same-origin")
    if not settings.trusted_proxies:
        return app
    return ProxyHeadersMiddleware(app, list(settings.trusted_proxies))  # type: ignore[arg-type, return-value]


def _largest_body(settings: Settings, path: str) -> int:
    """Bytes: files where files are expected."""
    megabytes = {"/query": settings.max_file_mb, "/gallery": settings.max_request_mb}.get(path, 0)
    return body_bytes(megabytes)
