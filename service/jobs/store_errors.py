"""What the database of the jobs refuses, in words."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionError

from service.jobs.errors import JobStoreAwayError, JobStoreError
from service.tables import Tables


@contextmanager
def store_errors(tables: Tables, what: str) -> Iterator[None]:
    """Raises for `what` cannot be done, with the reason.

    Raises:
        JobStoreAwayError: of a database that others share, which may answer again in a moment.
        JobStoreError: of a file.
    """
    try:
        yield
    except (OperationalError, InternalError) as error:
        kind = JobStoreAwayError if tables.is_shared else JobStoreError
        raise kind(f"{what}: {tables.message(error.orig)}") from error
    except NoConnectionError as error:
        raise JobStoreAwayError(f"{what}: {error}") from error
