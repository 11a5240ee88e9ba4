"""``/jobs`` and below: giving work to the background, seeing how far it is, and cancelling it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from service import problems
from service.access.call import note
from service.disconnect import while_connected
from service.engine import Engine, engine_of
from service.forms import WholeNumber
from service.jobs.answers import JobAnswer, JobsAnswer, RejectionAnswer, RejectionsAnswer
from service.jobs.events import MEDIA_TYPE, job_events
from service.jobs.job import State
from service.jobs.kinds.bodies import PARAMETERS, KindName
from service.json_text import read_json
from service.openapi import json_body
from service.strict_fields import strict_query_string, validate

router = APIRouter(prefix="/jobs", tags=["jobs"], dependencies=[Depends(strict_query_string)])

Ready = Annotated[Engine, Depends(engine_of)]


class _AnyJob(BaseModel):
    """The body of any job: its kind says which further fields there are."""

    model_config = ConfigDict(extra="allow")

    kind: KindName


class JobsParameters(BaseModel):
    """``GET /jobs``."""

    model_config = ConfigDict(extra="forbid")

    state: State | None = Field(None, description="only jobs in this state")
    kind: KindName | None = Field(None, description="only jobs of this kind")
    limit: WholeNumber = Field(50, ge=1, le=1000, description="jobs on one page")
    cursor: str | None = Field(None, max_length=100, description="next_cursor of the page before")


class RejectionsParameters(BaseModel):
    """``GET /jobs/{id}/rejections``."""

    model_config = ConfigDict(extra="forbid")

    limit: WholeNumber = Field(100, ge=1, le=1000, description="rows on one page")
    cursor: str | None = Field(None, max_length=100, description="next_cursor of the page before")


_NO_JOB = problems.response(404, "there is no such job")


@router.post(
    "",
    status_code=202,
    response_model=JobAnswer,
    responses=problems.response(409, "the job needs a setting that the service was started without; `detail` names it"),
    openapi_extra=json_body(*PARAMETERS.values()),
)
async def create_job(request: Request, engine: Ready) -> JSONResponse:
    """Takes a job, which runs behind those that wait; when it answers, the job survives a restart.

    Sent twice, it is two jobs; what the first has enrolled is a duplicate for the second.
    """
    given = await read_json(request, _AnyJob)
    values = {"kind": given.kind, **(given.model_extra or {})}
    parameters = validate(PARAMETERS[given.kind], values, "body")
    job = JobAnswer.of(await engine.pools.read.run(engine.jobs.create, parameters))
    note(request.scope, job=job.id, parameters=values)
    return JSONResponse(job.model_dump(mode="json"), 202, {"Location": job.url})


@router.get("")
async def jobs(request: Request, parameters: Annotated[JobsParameters, Query()], engine: Ready) -> JobsAnswer:
    """The jobs that pass the conditions, the newest first, page by page."""
    async with while_connected(request):
        page = await engine.pools.read.run(
            engine.jobs.store.page,
            parameters.limit,
            parameters.cursor,
            state=parameters.state,
            kind=parameters.kind,
        )
    return JobsAnswer(jobs=list(map(JobAnswer.of, page.jobs)), next_cursor=page.next_cursor, total=page.total)


@router.get("/{id}", responses=_NO_JOB)
async def job(id: str, engine: Ready) -> JobAnswer:  # noqa: A002 (the contract's name)
    """One job: how far it is, at which rate, and what came of it."""
    return JobAnswer.of(await engine.pools.read.run(engine.jobs.store.get, id))


@router.get("/{id}/rejections", responses=_NO_JOB)
async def job_rejections(
    id: str,  # noqa: A002
    parameters: Annotated[RejectionsParameters, Query()],
    engine: Ready,
) -> RejectionsAnswer:
    """The rows that the job could not use, in the order in which it found them, page by page."""
    page = await engine.pools.read.run(engine.jobs.store.rejections, id, parameters.limit, parameters.cursor)
    rejections = list(map(RejectionAnswer.of, page.rejections))
    return RejectionsAnswer(rejections=rejections, next_cursor=page.next_cursor, total=page.total)


@router.get(
    "/{id}/files/{name}",
    response_class=FileResponse,
    responses=problems.response(404, "there is no such job, or no such file of it")
    | {200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def job_file(id: str, name: str, engine: Ready) -> FileResponse:  # noqa: A002
    """A file that a job has made; once it is done, its `report.files` names them."""
    path = await engine.pools.read.run(engine.jobs.file, id, name)
    headers = {"Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"}
    return FileResponse(path, filename=path.name, headers=headers)


@router.get(
    "/{id}/events",
    response_class=StreamingResponse,
    responses=_NO_JOB
    | {
        200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}},
        204: {"description": "it has ended, and `Last-Event-ID` is its last event"},
    },
)
async def job_changes(
    request: Request,
    id: str,  # noqa: A002
    engine: Ready,
    last_event_id: Annotated[str | None, Header(description="the id of the last event that the client has")] = None,
) -> Response:
    """The job as server-sent events: as it is, then each change (at most two a second), until it has ended.

    The data of each is what `GET /jobs/{id}` answers.
    """

    async def read() -> Any:
        return await engine.pools.read.run(engine.jobs.store.get, id)

    found = await read()
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if request.scope.get("is_head"):
        return Response(headers=headers, media_type=MEDIA_TYPE)
    if found.has_ended and last_event_id == str(found.version):
        return Response(status_code=204)  # which tells a browser not to come again
    events = job_events(request, found, read, request.app.state.is_closing)
    return StreamingResponse(events, headers=headers, media_type=MEDIA_TYPE)


@router.delete(
    "/{id}",
    status_code=202,
    response_model=JobAnswer,
    responses=_NO_JOB
    | problems.response(409, "the job is done or has failed")
    | {204: {"description": "the job waited, and is cancelled"}},
)
async def cancel_job(id: str, engine: Ready) -> Response:  # noqa: A002
    """Cancels a job: one that waits at once (204), one that runs at its next step (202). What it has done stays."""
    cancelled = await engine.pools.read.run(engine.jobs.cancel, id)
    if cancelled.has_ended:
        return Response(status_code=204)
    return JSONResponse(JobAnswer.of(cancelled).model_dump(mode="json"), 202)
