"""A job as server-sent events: its state at once, then each change, until it has ended."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from fastapi import Request

from service.jobs.answers import JobAnswer
from service.jobs.errors import JobNotFoundError
from service.jobs.job import Job
from service.pools import BusyError

MEDIA_TYPE: Final = "text/event-stream"

_LOOK_EVERY_S: Final = 0.5
_RETRY_MS: Final = 2000
# Proxies close connections on which nothing comes for a minute.
_KEEP_ALIVE_S: Final = 15.0


async def job_events(
    request: Request, job: Job, read: Callable[[], Awaitable[Job]], is_closing: Callable[[], bool]
) -> AsyncIterator[str]:
    """The texts of the events, at most two a second; each has the whole job, so that a client may miss some.

    It ends with the job, with the client, and with the service: a client then comes again by itself.
    """
    yield f"retry: {_RETRY_MS}\n\n"
    yield _event(job)
    said_at = time.monotonic()
    while not (job.has_ended or is_closing()):
        await asyncio.sleep(_LOOK_EVERY_S)
        if await request.is_disconnected():
            return
        try:
            latest = await read()
        except BusyError:
            continue
        except JobNotFoundError:
            return
        if latest.version != job.version:
            job = latest
            yield _event(job)
            said_at = time.monotonic()
        elif time.monotonic() - said_at >= _KEEP_ALIVE_S:
            yield ": still there\n\n"
            said_at = time.monotonic()


def _event(job: Job) -> str:
    return f"id: {job.version}\nevent: job\ndata: {JobAnswer.of(job).model_dump_json()}\n\n"
