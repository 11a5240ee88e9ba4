"""Which process runs a job: the only one there is, or in a database that several share, the one that has its lease."""

import secrets
from datetime import datetime, timedelta
from typing import Final, Protocol

from sqlalchemy import ColumnElement, Connection, delete, exists, func, insert, select, true, update

from service.jobs.errors import JobTakenOverError
from service.jobs.job import Job
from service.jobs.job_table import JOBS, LEASES

LEASE: Final = timedelta(seconds=60)
"""How long a process that does not say any more that it lives keeps the job that it runs."""

_COLUMNS: Final = LEASES.c


class Runner(Protocol):
    """One process, as the list of jobs knows it. Each call belongs to the transaction of its caller.

    Attributes:
        renews_every_s: how often it has to `renew`; None: never.
    """

    renews_every_s: float | None

    def take(self, connection: Connection, job: Job) -> None:
        """The job is this process's from now on."""

    def give_back(self, connection: Connection, seq: int) -> None:
        """The job with this seq is nobody's any more."""

    def require(self, connection: Connection, seq: int) -> None:
        """Raises `JobTakenOverError` if the job with this seq is not this process's any more."""

    def renew(self, connection: Connection) -> None:
        """This process lives."""

    def left(self, connection: Connection) -> ColumnElement[bool]:
        """Which of the jobs that are called running nobody runs, as a condition; asked while this process runs none."""


class OnlyRunner:
    """Implements `Runner` where one process owns the list: nobody else takes what it has."""

    renews_every_s: float | None = None

    def take(self, connection: Connection, job: Job) -> None:
        """Nobody else could."""

    def give_back(self, connection: Connection, seq: int) -> None:
        """Nobody waits for it."""

    def require(self, connection: Connection, seq: int) -> None:
        """It is."""

    def renew(self, connection: Connection) -> None:
        """Nobody asks."""

    def left(self, connection: Connection) -> ColumnElement[bool]:  # noqa: ARG002
        """All of them: the process before was ended while it ran them."""
        return true()


class LeasedRunner:
    """Implements `Runner` where several processes take jobs of one list, in PostgreSQL.

    The clock is the database's. A process that was thought dead, but only hung, finds that its lease is gone before it
    stores anything: each step of a job is stored by one process.
    """

    renews_every_s: float | None = LEASE.total_seconds() / 4

    def __init__(self) -> None:
        self._name = secrets.token_hex(8)

    def take(self, connection: Connection, job: Job) -> None:
        """The job is this process's, until it gives it back or its lease runs out."""
        self.give_back(connection, job.seq)
        connection.execute(insert(LEASES).values(job=job.seq, runner=self._name, until=_now(connection) + LEASE))

    def give_back(self, connection: Connection, seq: int) -> None:
        """Another process may take it at once."""
        connection.execute(delete(LEASES).where(_COLUMNS.job == seq))

    def require(self, connection: Connection, seq: int) -> None:
        """Its lease is still there, run out or not: whoever takes a job over removes the lease first.

        Raises:
            JobTakenOverError: it is not.
        """
        mine = select(LEASES).where(_COLUMNS.job == seq, _COLUMNS.runner == self._name)
        if connection.execute(mine).first() is None:
            raise JobTakenOverError(
                f"another process has taken over the job {seq}, because this one was not heard of for "
                f"{LEASE.total_seconds():.0f} s: it goes on there"
            )

    def renew(self, connection: Connection) -> None:
        """All leases that it still has begin anew."""
        renewed = update(LEASES).where(_COLUMNS.runner == self._name)
        connection.execute(renewed.values(until=_now(connection) + LEASE))

    def left(self, connection: Connection) -> ColumnElement[bool]:
        """Those whose lease has run out, and what this process itself was interrupted in."""
        valid = exists().where(
            _COLUMNS.job == JOBS.c.seq, _COLUMNS.until > _now(connection), _COLUMNS.runner != self._name
        )
        return ~valid


def _now(connection: Connection) -> datetime:
    """Of the database's clock at this moment: a transaction may have waited since it began."""
    now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return now
