"""Makes the tables, or brings those of an older program to this one's layout."""

from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import Connection, insert, inspect, select, update

from index.gallery.errors import GalleryError
from index.postgres.record_table import GALLERY, METADATA, SCHEMA_VERSION

_OLDEST_SERVER: Final = (14,)

MIGRATIONS: Final[Mapping[int, Callable[[Connection], None]]] = {}
"""By layout, what makes the next one of it. The first layout is this program's: there is none yet."""


def prepare_tables(connection: Connection, *, may_create: bool) -> None:
    """Makes or migrates the tables, within the transaction of the connection, which holds the lock of the writers.

    Raises:
        GalleryError: a newer program has migrated them, or there are none and `may_create` is off; or the database
            cannot keep them.
    """
    _require_server(connection)
    if not inspect(connection).has_table(GALLERY.name):
        if not may_create:
            raise GalleryError(
                "there are images, but the database has no records: restore it from a backup, or give the images "
                "another place"
            )
        METADATA.create_all(connection)
        connection.execute(insert(GALLERY).values(number=1, layout=SCHEMA_VERSION, last_seq=0, num_changes=0))
        return
    layout: int = connection.execute(select(GALLERY.c.layout)).scalar_one()
    require_layout(layout, *MIGRATIONS, SCHEMA_VERSION)
    while layout != SCHEMA_VERSION:
        MIGRATIONS[layout](connection)
        layout += 1
        connection.execute(update(GALLERY).values(layout=layout))


def _require_server(connection: Connection) -> None:
    version = tuple(map(int, connection.dialect.server_version_info or ()))
    if version < _OLDEST_SERVER:
        found = ".".join(map(str, version))
        raise GalleryError(f"PostgreSQL {_OLDEST_SERVER[0]} or newer is needed, the server has {found}: update it")
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":  # names of any language
        raise GalleryError(f"the database keeps texts as {encoding}: create one with ENCODING 'UTF8'")


def require_layout(layout: int, *expected: int) -> None:
    """Refuses the tables of a program that this one does not know.

    Raises:
        GalleryError: their layout is none of the expected.
    """
    if layout not in expected:
        raise GalleryError(
            f"the tables of records have the layout {layout}, this program reads {SCHEMA_VERSION}: "
            "use the program that wrote them"
        )
