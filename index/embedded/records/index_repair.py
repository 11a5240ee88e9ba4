"""SQLite's indexes of the table of records: checked when a gallery is opened, and rebuilt where the disk damaged them.

A damaged index hides records from every search that has its field as a condition, and no checksum of a record shows it.
"""

import logging
import sqlite3
from pathlib import Path

from index.embedded.records.record_writer import transaction

_LOG = logging.getLogger(__name__)


def repair_indexes(connection: sqlite3.Connection, path: Path) -> None:
    """Rebuilds the indexes of the database `path` where they contradict its records, if that mends it; else only logs.

    A file whose records are damaged themselves stays as it is.
    """
    problems = _problems(connection)
    if not problems:
        return
    try:
        with transaction(connection):
            connection.execute("REINDEX record")
            remaining = _problems(connection)
            if remaining:
                raise sqlite3.DatabaseError(remaining[0])
    except sqlite3.OperationalError as error:  # the disk is full, say
        _LOG.error("damaged indexes in %s could not be rebuilt, answers may lack records: %s", path, error)
    except sqlite3.DatabaseError as error:
        _LOG.error("%s is damaged, answers may lack records: restore it from a backup (%s)", path, error)
    else:
        _LOG.warning("indexes in %s were damaged and have been rebuilt; no record is lost (%s)", path, problems[0])


def _problems(connection: sqlite3.Connection) -> list[str]:
    """What is wrong with the table of records and its indexes; empty if nothing is."""
    try:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check(record)")]
    except sqlite3.DatabaseError as error:
        return [str(error)]
    return [] if found == ["ok"] else found
