"""Databases as the first version of this program left them, made of ones of today."""

import sqlite3
from contextlib import closing
from pathlib import Path


def bring_to_layout_1(folder: Path) -> None:
    """Makes the database one that the first version of this program could have written."""
    for path in folder.glob("gallery.sqlite.layout-1*"):
        path.unlink()
    with closing(sqlite3.connect(folder / "gallery.sqlite", isolation_level=None)) as connection:
        (layout,) = connection.execute("PRAGMA user_version").fetchone()
        if layout == 3:
            connection.executescript(
                "BEGIN; DROP TABLE deletion; DROP TABLE deleted_embedding; DROP TABLE deleted_record; "
                "DROP INDEX record_source; ALTER TABLE record DROP COLUMN source; "
                "ALTER TABLE record DROP COLUMN attributes; PRAGMA user_version = 1; COMMIT"
            )


def ids_in_layout_1(path: Path) -> list[str]:
    """The ids in a sound database of the first layout, in the order of enrolment."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [id_ for (id_,) in connection.execute("SELECT id FROM record ORDER BY seq")]
