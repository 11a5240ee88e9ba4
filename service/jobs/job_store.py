"""Jobs on disk: created, listed, cancelled, and taken step by step by the one who runs them."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Row, cast, func, insert, select, update

from index.gallery.fields import shorten
from service.jobs.errors import JobFinishedError, JobNotFoundError, TooManyJobsError
from service.jobs.job import FINAL_STATES, Job, JobPage, JobTally, Rejection, RejectionPage, State
from service.jobs.job_table import JOBS, REJECTIONS
from service.jobs.runner import LeasedRunner, OnlyRunner, Runner
from service.jobs.store_errors import store_errors
from service.number_cursor import number_of
from service.tables import Tables

MAX_UNFINISHED: Final = 1000
"""Jobs that wait or run; more are refused."""

_MAX_ERROR: Final = 1000

_COLUMNS: Final = JOBS.c


class JobStore:
    """The jobs of a service. Safe to call from any thread. Each call may raise `JobStoreError`.

    Every change is one transaction, whose statements name the state that they change: two that come at the same time
    (a cancellation, the next step) cannot undo each other.
    """

    def __init__(self, tables: Tables) -> None:
        """Takes the tables, which are there."""
        self._tables = tables
        self._engine = tables.engine
        self._writing = tables.writing
        self._runner: Runner = LeasedRunner() if tables.is_shared else OnlyRunner()

    @property
    def tables(self) -> Tables:
        """Where the jobs are; for what is kept beside them."""
        return self._tables

    def close(self) -> None:
        """Releases the connections; a later call would open them again."""
        self._tables.close()

    def create(
        self, kind: str, parameters: dict[str, Any], *, key: str | None = None, num_total: int | None = None
    ) -> Job:
        """A new job, which waits behind those that are there; durable when this returns.

        Raises:
            TooManyJobsError: too many wait already.
        """
        with self._transaction() as connection:
            unfinished = select(func.count()).select_from(JOBS).where(_COLUMNS.state.not_in(FINAL_STATES))
            if (connection.scalar(unfinished) or 0) >= MAX_UNFINISHED:
                raise TooManyJobsError(
                    f"{MAX_UNFINISHED:,} jobs wait or run already, as many as the service takes: wait until one ends, "
                    "or cancel one"
                )
            id_ = secrets.token_hex(8)
            values = {
                "id": id_,
                "kind": kind,
                "parameters": parameters,
                "key": key,
                "num_total": num_total,
                "state": "queued",
                "created_at": datetime.now(UTC),
            }
            connection.execute(insert(JOBS).values(values))
            return _require(connection, id_)

    def get(self, id_: str) -> Job:
        """One job.

        Raises:
            JobNotFoundError: there is none with this id.
        """
        with self._reading() as connection:
            return _require(connection, id_)

    def latest(self, key: str, state: State | None = None) -> Job | None:
        """The newest job with this key, and in this state, if there is one."""
        wanted = select(JOBS).where(_COLUMNS.key == key).order_by(_COLUMNS.seq.desc()).limit(1)
        if state is not None:
            wanted = wanted.where(_COLUMNS.state == state)
        with self._reading() as connection:
            row = connection.execute(wanted).first()
        return None if row is None else _job(row)

    def page(self, limit: int, cursor: str | None, *, state: State | None = None, kind: str | None = None) -> JobPage:
        """At most `limit` jobs, the newest first, behind the cursor.

        Raises:
            CursorError: a cursor that no page gave.
        """
        conditions = []
        if state is not None:
            conditions.append(_COLUMNS.state == state)
        if kind is not None:
            conditions.append(_COLUMNS.kind == kind)
        wanted = select(JOBS).where(*conditions).order_by(_COLUMNS.seq.desc()).limit(limit + 1)
        if cursor is not None:
            wanted = wanted.where(_COLUMNS.seq < number_of(cursor))
        with self._reading() as connection:
            jobs = [_job(row) for row in connection.execute(wanted)]
            total = connection.scalar(select(func.count()).select_from(JOBS).where(*conditions)) or 0
        next_cursor = str(jobs[limit - 1].seq) if len(jobs) > limit else None
        return JobPage(jobs[:limit], next_cursor, total)

    def tallies(self) -> list[JobTally]:
        """One for each kind and state of which there are jobs."""
        wanted = select(
            _COLUMNS.kind,
            _COLUMNS.state,
            func.count(),
            cast(func.sum(_COLUMNS.num_done), BigInteger),
            cast(func.sum(_COLUMNS.num_rejected), BigInteger),
            func.max(_COLUMNS.run_started_at),
        ).group_by(_COLUMNS.kind, _COLUMNS.state)
        with self._reading() as connection:
            return [JobTally(*row) for row in connection.execute(wanted)]

    def rejections(self, id_: str, limit: int, cursor: str | None) -> RejectionPage:
        """At most `limit` rejected rows of a job, in the order in which they were found, behind the cursor.

        Raises:
            JobNotFoundError: there is no such job.
            CursorError: a cursor that no page gave.
        """
        after = 0 if cursor is None else number_of(cursor)
        with self._reading() as connection:
            job = _require(connection, id_)
            columns = REJECTIONS.c
            wanted = select(columns.row, columns.name, columns.box, columns.reason)
            wanted = wanted.where(columns.job == job.seq, columns.number > after).order_by(columns.number).limit(limit)
            rejections = [Rejection(*row) for row in connection.execute(wanted)]
        last = after + len(rejections)
        return RejectionPage(rejections, str(last) if last < job.num_rejected else None, job.num_rejected)

    def cancel(self, id_: str) -> Job:
        """Cancels a job that waits, at once; one that runs is told to end at its next step. Twice is the same as once.

        Raises:
            JobNotFoundError: there is no such job.
            JobFinishedError: it is done, or has failed.
        """
        with self._transaction() as connection:
            _change(connection, id_, "queued", state="cancelled", finished_at=datetime.now(UTC))
            _change(connection, id_, "running", cancelling=True)
            job = _require(connection, id_)
        if job.state in ("done", "failed"):
            raise JobFinishedError(f"the job {job.id} is {job.state}: it cannot be cancelled any more")
        return job

    @property
    def renews_every_s(self) -> float | None:
        """How often `renew` has to be called while a job runs; None: never. Others may take jobs of the list then."""
        return self._runner.renews_every_s

    def renew(self) -> None:
        """Says that this process lives, so that no other one takes over what it runs."""
        with self._transaction() as connection:
            self._runner.renew(connection)

    def requeue_running(self, *, is_forgiven: bool) -> None:
        """Puts back what is called running and is not; for a process that runs jobs, while it runs none.

        Args:
            is_forgiven: whether the start does not count against the job: it is not the job that ended it.
        """
        with self._transaction() as connection:
            left = select(_COLUMNS.seq, _COLUMNS.id).where(_COLUMNS.state == "running", self._runner.left(connection))
            for seq, id_ in connection.execute(left).all():
                self._runner.give_back(connection, seq)
                _put_back(connection, id_, is_forgiven=is_forgiven)

    def claim(self) -> Job | None:
        """The oldest job that waits, which runs from now on; None if none waits."""
        with self._transaction() as connection:
            oldest = select(_COLUMNS.id).where(_COLUMNS.state == "queued").order_by(_COLUMNS.seq).limit(1)
            id_ = connection.scalar(oldest)
            now = datetime.now(UTC)
            claimed = id_ is not None and _change(
                connection,
                id_,
                "queued",
                state="running",
                num_starts=_COLUMNS.num_starts + 1,
                started_at=func.coalesce(_COLUMNS.started_at, now),
                run_started_at=now,
                num_done_before_run=_COLUMNS.num_done,
            )
            if not claimed or id_ is None:
                return None
            job = _require(connection, id_)
            self._runner.take(connection, job)
            return job

    def advance(
        self,
        job: Job,
        num_done: int,
        *,
        cursor: Any,
        report: dict[str, Any] | None,
        num_total: int | None,
        rejections: Sequence[Rejection],
    ) -> Job:
        """Stores how far a running job is; all of it or nothing. Returns the job as it is now, perhaps `cancelling`.

        Raises:
            JobTakenOverError: another process runs it by now.
        """
        has_progressed = num_done > job.num_done
        is_counted_now = job.num_total is None and num_total is not None
        with self._transaction() as connection:
            self._runner.require(connection, job.seq)
            if rejections:
                first = job.num_rejected + 1
                rows = [
                    {"job": job.seq, "number": number, **rejection._asdict()}
                    for number, rejection in enumerate(rejections, start=first)
                ]
                connection.execute(insert(REJECTIONS), rows)
            now = datetime.now(UTC)
            progress = {"num_starts": 0, "progressed_at": now} if has_progressed else {}
            if is_counted_now:  # the rate is that of the work, not of the counting before it
                progress |= {"run_started_at": now, "num_done_before_run": num_done}
            _change(
                connection,
                job.id,
                "running",
                num_done=num_done,
                num_total=num_total,
                num_rejected=job.num_rejected + len(rejections),
                cursor=cursor,
                report=report,
                **progress,
            )
            return _require(connection, job.id)

    def finish(self, id_: str, state: State, *, error: str | None = None, report: dict[str, Any] | None = None) -> None:
        """Ends a running job; without a `report`, the last one stays. An `error` of over 1,000 characters is cut.

        Raises:
            JobTakenOverError: another process runs it by now.
        """
        if error is not None:
            error = error.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")[:_MAX_ERROR]
        further = {} if report is None else {"report": report}
        with self._transaction() as connection:
            self._end_run(connection, id_)
            now = datetime.now(UTC)
            _change(connection, id_, "running", state=state, error=error, finished_at=now, cancelling=False, **further)

    def release(self, id_: str) -> None:
        """Puts a running job back, because the service is being stopped: this start does not count against it.

        Raises:
            JobTakenOverError: another process runs it by now.
        """
        with self._transaction() as connection:
            self._end_run(connection, id_)
            _put_back(connection, id_, is_forgiven=True)

    def _end_run(self, connection: Connection, id_: str) -> None:
        job = _require(connection, id_)
        if job.state == "running":
            self._runner.require(connection, job.seq)
            self._runner.give_back(connection, job.seq)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with store_errors(self._tables, "the list of jobs cannot be read"), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with (
            store_errors(self._tables, "the list of jobs cannot be written, and nothing was changed"),
            self._writing.begin() as connection,
        ):
            yield connection


def _put_back(connection: Connection, id_: str, *, is_forgiven: bool) -> None:
    """Queues a running job again; one that was to be cancelled is."""
    job = _require(connection, id_)
    if job.cancelling:
        _change(connection, id_, "running", state="cancelled", cancelling=False, finished_at=datetime.now(UTC))
    else:
        num_starts = max(0, job.num_starts - is_forgiven)
        _change(connection, id_, "running", state="queued", num_starts=num_starts)


def _change(connection: Connection, id_: str, expected: State, **values: Any) -> bool:
    """Changes a job that is in this state; whether it was."""
    where = (_COLUMNS.id == id_) & (_COLUMNS.state == expected)
    result = connection.execute(update(JOBS).where(where).values(version=_COLUMNS.version + 1, **values))
    return result.rowcount == 1


def _require(connection: Connection, id_: str) -> Job:
    # PostgreSQL takes no text with a NUL, not even to find nothing.
    row = None if "\0" in id_ else connection.execute(select(JOBS).where(_COLUMNS.id == id_)).first()
    if row is None:
        raise JobNotFoundError(f"there is no job {shorten(id_)}")
    return _job(row)


def _job(row: Row[Any]) -> Job:
    return Job(**row._mapping)
