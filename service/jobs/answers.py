"""What goes out about jobs: the JSON of every answer."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, Field

from service.jobs.job import Job, Rejection, State


class JobAnswer(BaseModel):
    """One job."""

    id: str
    kind: str
    parameters: dict[str, Any] = Field(description="with the defaults of those that were left out")
    state: State
    cancelling: bool = Field(description="it runs, and ends at its next step")
    done: int = Field(description="rows or images that are done, rejected ones included")
    total: int | None = Field(description="all of them; null until they are counted")
    rejected: int = Field(description="those that cannot be used: rejections_url says which, and why")
    rate_per_s: float | None = Field(description="rows or images per second since it was started last")
    remaining_s: float | None = Field(description="how long it will take at this rate; null unless it runs")
    error: str | None = Field(description="why it failed")
    report: dict[str, Any] | None = Field(description="what came of it so far; each kind has its own")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    url: str
    events_url: str
    rejections_url: str

    @classmethod
    def of(cls, job: Job) -> Self:
        """The answer for a job."""
        url = f"/jobs/{job.id}"
        return cls(
            id=job.id,
            kind=job.kind,
            parameters={name: value for name, value in job.parameters.items() if name != "kind"},
            state=job.state,
            cancelling=job.cancelling,
            done=job.num_done,
            total=job.num_total,
            rejected=job.num_rejected,
            rate_per_s=job.rate_per_s,
            remaining_s=job.remaining_s,
            error=job.error,
            report=job.report,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            url=url,
            events_url=f"{url}/events",
            rejections_url=f"{url}/rejections",
        )


class JobsAnswer(BaseModel):
    """``GET /jobs``."""

    jobs: list[JobAnswer]
    next_cursor: str | None
    total: int = Field(description="jobs that passed the conditions, on all pages")


class RejectionAnswer(BaseModel):
    """A row that cannot be used."""

    row: int | None = Field(description="its line in the manifest, from 1; null where there is none")
    name: str = Field(description="the path of its file, as the manifest or the folder has it")
    box: str | None
    reason: str

    @classmethod
    def of(cls, rejection: Rejection) -> Self:
        """The answer for a rejection."""
        return cls(**rejection._asdict())


class RejectionsAnswer(BaseModel):
    """``GET /jobs/{id}/rejections``."""

    rejections: list[RejectionAnswer]
    next_cursor: str | None
    total: int = Field(description="on all pages, so far")
