"""A PostgreSQL database through SQLAlchemy: durable commits, lost connections replaced, refusals in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoConnectionError

from index.gallery.errors import GalleryError, GalleryFullError, GalleryUnavailableError
from index.postgres.database_url import database_url, secrets_of

# A host that is gone is noticed within a minute, here and (by the settings below) by the server.
_CONNECT: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "application_name": "sanet",
}
_SETTINGS: Final = """
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
SET tcp_keepalives_idle = 30;
SET tcp_keepalives_interval = 10;
SET tcp_keepalives_count = 3;
SET lock_timeout = '60s';
SET idle_in_transaction_session_timeout = '10min';
SET TimeZone = 'UTC'
"""
_POOL_TIMEOUT_S: Final = 30

_FULL: Final = "53100"
_DAMAGED: Final = ("XX001", "XX002")
# What goes by: no connection, too many connections, the server is being stopped or is a standby, another one holds a
# lock for too long, a deadlock, a timeout that the server's owner has set.
_PASSING: Final = ("08", "53", "57", "25006", "25P03", "55P03", "40")


class Database:
    """Connections to a database, for any thread. Not through a proxy that gives each transaction another session.

    Attributes:
        engine: the connections; each transaction sees what was committed before each of its statements.
        name: the database in words, without who may read it.
    """

    def __init__(self, url: str, pool_size: int = 20) -> None:
        """Connects to nothing yet; at most `pool_size` connections will be open at a time.

        Raises:
            ValueError: the address is none of PostgreSQL; the message does not repeat it, as it may hold a password.
            GalleryError: the driver is not installed.
        """
        address = database_url(url)
        self._secrets = secrets_of(address)
        host = address.host or address.query.get("host") or "this machine"
        self.name = f"the database {address.database or ''} at {host}"
        try:
            self.engine: Engine = create_engine(
                address,
                pool_size=pool_size,
                max_overflow=0,
                pool_timeout=_POOL_TIMEOUT_S,
                pool_pre_ping=True,
                hide_parameters=True,
                isolation_level="READ COMMITTED",
                connect_args=_CONNECT,
                use_native_hstore=False,  # which would be looked for at every start
            )
        except ModuleNotFoundError as error:
            raise GalleryError(
                f"PostgreSQL needs the package {error.name}: install this program with its extra cluster"
            ) from error
        event.listen(self.engine, "connect", _configure)
        self._is_closed = False

    def close(self) -> None:
        """Closes every connection as soon as it is not in use; the database cannot be used afterwards."""
        self._is_closed = True
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for statements each of which sees what was committed before it."""
        with self.connection() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A connection all of whose statements see the same moment."""
        with self.connection() as connection:
            yield connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection; what it has not committed after the block is undone."""
        with self.errors(), self.connect() as connection:
            yield connection

    def connect(self) -> Connection:
        """A connection that the caller closes, for use within `errors`."""
        if self._is_closed:
            raise GalleryError("the gallery is closed")
        return self.engine.connect()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns what the database refuses, or that it is away, into a `GalleryError`.

        Raises:
            GalleryUnavailableError: it cannot be reached, or is busy: the same may succeed later.
            GalleryFullError: there is no room.
            GalleryError: it cannot be read or written, with the reason.
        """
        try:
            yield
        except (IntegrityError, DataError):
            raise  # a fault of this program
        except DBAPIError as error:
            raise self._in_words(error) from error
        except NoConnectionError as error:
            raise GalleryUnavailableError(self.name, f"no connection was free within {_POOL_TIMEOUT_S} s") from error
        except UnicodeDecodeError as error:
            raise GalleryError(f"{self.name} holds a text that is none any more; restore a backup") from error

    def message(self, error: object) -> str:
        """What an error of the driver says, in one line and without the secrets of the address."""
        text = " ".join(str(error).split())
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _in_words(self, error: DBAPIError) -> GalleryError:
        code = str(getattr(error.orig, "sqlstate", None) or "")
        reason = self.message(error.orig)
        if code == _FULL:
            return GalleryFullError()
        if not code or error.connection_invalidated or code.startswith(_PASSING):
            return GalleryUnavailableError(self.name, reason)
        if code in _DAMAGED:
            return GalleryError(f"{self.name} is damaged ({reason}): restore a backup")
        return GalleryError(f"{self.name} cannot be read or written: {reason}")


def _configure(connection: Any, _: object) -> None:
    """What holds for every connection, whatever the server's own settings are."""
    connection.execute(_SETTINGS)
    connection.commit()
