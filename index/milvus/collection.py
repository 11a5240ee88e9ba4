"""The collection with the rows of one model: its name, how it is made, and which one serves."""

import hashlib
import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final

from index.gallery.errors import GalleryError, GalleryUnavailableError
from index.gallery.record import ModelKey
from index.milvus.client import MilvusClient
from index.milvus.connection import Connection, NotLoadedError
from index.milvus.schema import INDEXED_COLUMNS, collection_schema

_LOG: Final = logging.getLogger(__name__)

# Of the columns: another version is another collection, filled from the records.
_VERSION: Final = 1


def collection_name(prefix: str, model: ModelKey) -> str:
    """Of a model's rows. Embeddings of two models are never in one collection."""
    key = hashlib.sha256(f"{model.fingerprint} {model.precision}".encode()).hexdigest()[:32]
    return f"{prefix}_v{_VERSION}_{key}"


class Collection:
    """Rows of one model in Milvus: made, indexed and loaded when they are first asked for. Safe to use in any thread.

    It is reached by its own name and never by an alias: an alias that moves to another model's rows while this model
    asks would compare embeddings of two models, and nothing would show it.

    Attributes:
        name: in Milvus.
        dim: numbers of an embedding.
    """

    def __init__(self, connection: Connection, model: ModelKey, dim: int) -> None:
        self.name = collection_name(connection.options.prefix, model)
        self.dim = dim
        self._connection = connection
        self._making = threading.Lock()
        self._is_ready = False

    def call(self, method: str, **arguments: Any) -> Any:
        """What a method of `MilvusClient` returns for this collection.

        Raises:
            GalleryError: as `Connection.call`.
        """
        self._make()
        try:
            return self._connection.call(method, collection_name=self.name, **arguments)
        except NotLoadedError:
            # Somebody released the rows, or the server forgot after a restart that they were loaded.
            self._load()
            return self._connection.call(method, collection_name=self.name, **arguments)

    def pages(self, expression: str, columns: list[str], num_rows: int) -> Iterator[list[dict[str, Any]]]:
        """The rows that pass, as `Connection.pages`."""
        self._make()
        has_begun = False
        try:
            for page in self._connection.pages(self.name, expression, columns, num_rows):
                has_begun = True
                yield page
        except NotLoadedError:
            if has_begun:
                raise
            self._load()
            yield from self._connection.pages(self.name, expression, columns, num_rows)

    def drop(self) -> None:
        """Removes the rows; the records are elsewhere, and fill it anew."""
        with self._making:
            self._connection.call("drop_collection", collection_name=self.name)
            self._is_ready = False

    def _make(self) -> None:
        with self._making:
            if self._is_ready:
                return
            options = self._connection.options
            if not self._exists():
                try:
                    self._connection.call(
                        "create_collection",
                        collection_name=self.name,
                        schema=collection_schema(self.dim, options),
                        consistency_level="Strong",
                        num_shards=options.num_shards,
                        **({"num_partitions": options.num_partitions} if options.num_partitions else {}),
                        timeout_s=options.load_timeout_s,
                    )
                except GalleryError:
                    if not self._exists():  # another process may have made it meanwhile
                        raise
            self._index()
            self._load()
            self._is_ready = True

    def _exists(self) -> bool:
        return bool(self._connection.call("has_collection", collection_name=self.name))

    def _index(self) -> None:
        """Asks for the indexes that are not there."""
        options = self._connection.options
        vectors: dict[str, Any] = {
            "index_type": options.index_type,
            "metric_type": "L2",
            "params": options.index_params,
        }
        indexes = {"embedding": vectors} | {column: {"index_type": "INVERTED"} for column in INDEXED_COLUMNS}
        for column in sorted(indexes.keys() - self._indexed()):
            try:
                self._create_index(column, indexes[column])
            except GalleryUnavailableError:
                raise
            except GalleryError as error:
                if column in self._indexed():  # another process has made it meanwhile
                    continue
                if column == "embedding":
                    raise
                _LOG.warning("filters by %s will be slow, but right: no index can be made: %s", column, error)

    def _indexed(self) -> set[str]:
        return set(self._connection.call("list_indexes", collection_name=self.name))

    def _create_index(self, column: str, params: Mapping[str, Any]) -> None:
        index = MilvusClient.prepare_index_params()
        index.add_index(field_name=column, index_name=column, **params)
        self._connection.call(
            "create_index",
            collection_name=self.name,
            index_params=index,
            sync=False,  # loading waits for those that matter
            timeout_s=self._connection.options.load_timeout_s,
        )

    def _load(self) -> None:
        options = self._connection.options
        self._connection.call(
            "load_collection",
            collection_name=self.name,
            replica_number=options.num_replicas,
            timeout_s=options.load_timeout_s,
        )
