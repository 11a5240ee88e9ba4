"""What access control costs each request: keys, scopes, rates, request ids, security headers and the audit log's door.

    python -m benchmarks.access_control [--requests N] [--json]

A route that does nothing is called in this process, without sockets, with and without all of it, in turns; the cost is
the difference of the medians.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from fastapi import Depends, FastAPI
from starlette.types import ASGIApp, Message

from index.command_parser import CommandParser
from service.access.answer_headers import AnswerHeaders
from service.access.guard import Guard
from service.access.key_store import KeyStore
from service.access.scope import Scope
from service.audit.audit_log import AuditLog
from service.audit.recorder import RecordAnswers, Recorder
from service.entrance import enter
from service.settings import Settings


def plain() -> FastAPI:
    """An application with one route, which any reader may call."""
    app = FastAPI()
    _add_route(app)
    return app


def guarded(data_dir: Path) -> ASGIApp:
    """The same as the service has it."""
    settings = Settings(data_dir=data_dir, auth="on", rate_limit="9999999/second")
    app = FastAPI(dependencies=[Depends(enter)])
    _add_route(app)
    app.state.guard = Guard(settings)
    app.state.recorder = Recorder(AuditLog(data_dir, 365))
    return AnswerHeaders(RecordAnswers(app, app.state.recorder), "same-origin")


def _add_route(app: FastAPI) -> None:
    @app.get("/stats", name="stats")
    async def stats() -> dict[str, int]:
        return {"total": 0}


async def seconds_of(app: ASGIApp, headers: list[tuple[bytes, bytes]]) -> float:
    """How long one request takes."""
    status = 0

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": "/stats", "raw_path": b"/stats", "root_path": "", "query_string": b"", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000),
    }  # fmt: skip
    begin = time.perf_counter()
    await app(scope, receive, send)
    taken = time.perf_counter() - begin
    if status != 200:
        raise RuntimeError(f"the request was answered with {status}")
    return taken


async def measure(num_requests: int) -> dict[str, float]:
    """Milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        with KeyStore.opened(data_dir) as store:
            keys = [store.create(str(n), Scope.READ, expires_at=None, rate=None)[1] for n in range(100)]
        apps: dict[str, ASGIApp] = {"without": plain(), "with": guarded(data_dir)}
        headers = [(b"host", b"x"), (b"accept", b"*/*"), (b"authorization", f"Bearer {keys[50]}".encode())]
        times: dict[str, list[float]] = {name: [] for name in apps}
        for _ in range(num_requests):
            for name, app in apps.items():
                times[name].append(await seconds_of(app, headers))
    figures = {f"{name}_ms": statistics.median(taken) * 1e3 for name, taken in times.items()}
    figures["cost_ms"] = figures["with_ms"] - figures["without_ms"]
    return figures


def main() -> int:
    """The command."""
    parser = CommandParser(prog="python -m benchmarks.access_control", description=__doc__)
    parser.add_argument("--requests", type=int, default=5000, help="of each kind")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args: argparse.Namespace = parser.parse_args()
    figures = asyncio.run(measure(args.requests))
    if args.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:12} {value:.3f}" for name, value in figures.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
