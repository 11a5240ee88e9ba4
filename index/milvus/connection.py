"""Calls to a Milvus server, and what goes wrong with them in the gallery's words."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import grpc

from index.gallery.errors import GalleryError, GalleryUnavailableError
from index.milvus.client import ErrorCode, MilvusClient, MilvusException
from index.milvus.options import MilvusOptions

MAX_ROWS: Final = 16_384
"""Rows that a search or a page of a query can have: a limit of Milvus."""

# A lost connection is tried again after a second at the latest; gRPC alone would wait for up to two minutes.
_GRPC_OPTIONS: Final = {"grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 1000}

_PAUSE_S: Final = 0.1

# Status codes of the server: nobody has asked for the collection's rows to be in memory, or they are not all there yet.
_NOT_LOADED: Final = (101, 103)
# Of the client (a connection that failed) and of a server that has too much to do; the server itself says of all others
# whether they pass.
_PASSING_CODES: Final = (2, ErrorCode.RATE_LIMIT)
_PASSING_STATUS: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)


class NotLoadedError(GalleryUnavailableError):
    """The collection's rows are not in the server's memory: `load_collection` brings them there."""


class Connection:
    """One server: it is connected to when something is first asked, and again after it was away. Safe in any thread."""

    def __init__(self, options: MilvusOptions) -> None:
        self.options = options
        self._lock = threading.Lock()
        self._client: Any = None
        # A call has failed for as long as it was allowed to, and none has succeeded since.
        self._is_away = False
        self._looking = threading.Lock()

    def call(self, method: str, *, timeout_s: float | None = None, **arguments: Any) -> Any:
        """What a method of `MilvusClient` returns that may be called twice.

        A server that is away for a moment is called again, for as long as the time-out, unless it was away already.

        Raises:
            GalleryUnavailableError: the server is away, starts, or takes too long.
            GalleryError: it refuses.
        """
        timeout_s = timeout_s or self.options.timeout_s
        return self._answer(lambda: getattr(self._connected(), method)(timeout=timeout_s, **arguments), timeout_s)

    def pages(
        self, collection: str, expression: str, columns: list[str], num_rows: int
    ) -> Iterator[list[dict[str, Any]]]:
        """The rows of a collection that pass, as of one moment, by rising primary key, at most `num_rows` at a time.

        The moment is not before the call if the collection was created for strong consistency.

        Raises:
            GalleryError: as `call`.
        """
        timeout_s = self.options.timeout_s
        iterator = self._answer(
            lambda: self._connected().query_iterator(
                collection,
                batch_size=min(num_rows, MAX_ROWS),
                filter=expression,
                output_fields=columns,
                timeout=timeout_s,
            ),
            timeout_s,
        )
        try:
            while page := self._answer(iterator.next, timeout_s):
                yield page
        finally:
            iterator.close()

    def close(self) -> None:
        """Ends it; whoever calls again connects again."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _answer(self, ask: Callable[[], Any], timeout_s: float) -> Any:
        if self._is_away:
            return self._answer_if_back(ask)
        end = time.monotonic() + timeout_s
        while True:
            try:
                return ask()
            except (MilvusException, grpc.RpcError) as error:
                gallery_error = self._gallery_error(error)
                self._is_away = _is_passing(gallery_error) and time.monotonic() >= end
                if self._is_away or not _is_passing(gallery_error):
                    raise gallery_error from error
            time.sleep(_PAUSE_S)

    def _answer_if_back(self, ask: Callable[[], Any]) -> Any:
        """One call at a time looks whether the server is back; the others need not wait for what will fail."""
        if not self._looking.acquire(blocking=False):
            raise GalleryUnavailableError(self._server, "it is away")
        try:
            answer = ask()
        except (MilvusException, grpc.RpcError) as error:
            gallery_error = self._gallery_error(error)
            self._is_away = _is_passing(gallery_error)
            raise gallery_error from error
        else:
            self._is_away = False
            return answer
        finally:
            self._looking.release()

    @property
    def _server(self) -> str:
        return f"Milvus at {self.options.address}"

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                options = self.options
                tls = {} if options.ca_file is None else {"server_pem_path": str(options.ca_file)}
                self._client = MilvusClient(
                    options.uri,
                    token=options.token,
                    db_name=options.database,
                    timeout=options.timeout_s,
                    dedicated=True,
                    server_name=options.server_name,
                    grpc_options=_GRPC_OPTIONS,
                    **tls,
                )
            return self._client

    def _gallery_error(self, error: MilvusException | grpc.RpcError) -> GalleryError:
        code = error.code if isinstance(error, MilvusException) else error.code()
        if code in _NOT_LOADED:
            return NotLoadedError(self._server, "the collection is not loaded")
        if code in _PASSING_STATUS:
            return GalleryUnavailableError(self._server, code.name)
        message = error.message if isinstance(error, MilvusException) else error.details()
        if code in _PASSING_CODES or (isinstance(error, MilvusException) and error.retriable):
            return GalleryUnavailableError(self._server, message)
        return GalleryError(f"{self._server} refuses: {message}")


def _is_passing(error: GalleryError) -> bool:
    """Whether time alone may help."""
    return isinstance(error, GalleryUnavailableError) and not isinstance(error, NotLoadedError)
