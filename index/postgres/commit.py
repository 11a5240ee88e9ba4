"""What became of a commit whose connection was lost before the answer came."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import BigInteger, Connection, func, literal, select
from sqlalchemy.exc import DBAPIError

from index.gallery.errors import GalleryError, GalleryUnavailableError
from index.postgres.database import Database

_SETTLED_WITHIN_S: Final = 5.0
_POLL_S: Final = 0.05


@contextmanager
def committed(database: Database, connection: Connection, transaction: int) -> Iterator[None]:
    """Commits in the block, and asks the database over another connection where this one is lost meanwhile.

    The database has then either committed all of the transaction or nothing of it. Whichever it is, the error says
    so, and whatever is read after the error is final, as long as the database can be reached: nobody takes a record's
    image away because its commit is only seen a moment later. If it cannot be reached, the error says that too.

    Args:
        database: which to ask.
        connection: that commits.
        transaction: its number of the transaction.

    Raises:
        GalleryUnavailableError: the connection was lost. Also where all was stored: the lock of the writers went with
            the connection, so that what would follow the commit has to begin anew.
    """
    try:
        yield
    except DBAPIError as error:
        if not connection.invalidated:
            raise
        outcome = _outcome(database, transaction)
        raise GalleryUnavailableError(
            database.name, f"the connection was lost while it committed; {outcome}"
        ) from error


def _outcome(database: Database, transaction: int) -> str:
    status = select(func.txid_status(literal(transaction, BigInteger)))
    give_up = time.monotonic() + _SETTLED_WITHIN_S
    found: str | None = "in progress"
    try:
        while found == "in progress" and time.monotonic() < give_up:
            with database.reading() as connection:
                found = connection.scalar(status)
            if found == "in progress":
                time.sleep(_POLL_S)
    except GalleryError:
        found = None
    if found == "committed":
        return "everything was stored"
    if found == "aborted":
        return "nothing was stored"
    return "whether everything or nothing was stored is not known"
