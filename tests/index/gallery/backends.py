"""What keeps a gallery in the tests: the product's folder, PostgreSQL, and the dictionaries of `memory_backend`."""

from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from index.embedded.opening import open_gallery
from index.gallery.gallery import Gallery
from index.gallery.record import ModelKey
from index.gallery.vector_index import VectorIndex
from index.milvus.options import MilvusOptions
from index.postgres.database import Database
from index.postgres.record_store import PostgresRecordStore
from tests.index.gallery.memory_backend import DictImages, DictStore, NumpyIndex
from tests.index.records import DIM, MODEL, tamper
from tests.postgres_server import PostgresServer

if TYPE_CHECKING:
    from index.milvus.milvus_index import MilvusIndex


class Backend(Protocol):
    """A place where a gallery is opened, one at a time, and what happens to it behind the gallery's back."""

    def open(self, model: ModelKey = MODEL, undo_for: timedelta = timedelta(0)) -> Gallery: ...

    def damage(self, seq: int) -> None: ...

    def images(self) -> set[str]: ...

    def trash(self) -> set[str]: ...

    def lose(self, content: str) -> None: ...

    def put(self, content: str, data: bytes) -> None: ...


class FolderBackend:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, model: ModelKey = MODEL, undo_for: timedelta = timedelta(0)) -> Gallery:
        return open_gallery(self._folder, model, DIM, undo_for=undo_for)

    def damage(self, seq: int) -> None:
        tamper(self._folder / "gallery.sqlite", f"UPDATE record SET media_type = 'x' WHERE seq = {seq}")

    def images(self) -> set[str]:
        return {path.name for path in (self._folder / "images").rglob("*") if path.is_file()}

    def trash(self) -> set[str]:
        return {path.name for path in (self._folder / "trash").rglob("*") if path.is_file()}

    def lose(self, content: str) -> None:
        self._path(content).unlink()

    def put(self, content: str, data: bytes) -> None:
        self._path(content).parent.mkdir(exist_ok=True)
        self._path(content).write_bytes(data)

    def _path(self, content: str) -> Path:
        return self._folder / "images" / content[:2] / content


class _ImagesInMemory:
    """They outlive a gallery, as files do."""

    def __init__(self) -> None:
        self._images = DictImages()

    def images(self) -> set[str]:
        return set(self._images.files)

    def trash(self) -> set[str]:
        return set(self._images.trash)

    def lose(self, content: str) -> None:
        del self._images.files[content]

    def put(self, content: str, data: bytes) -> None:
        self._images.files[content] = data


class PostgresBackend(_ImagesInMemory):
    """Its records lie in a database."""

    def __init__(self, server: PostgresServer, url: str) -> None:
        super().__init__()
        self._server, self._url = server, url

    def open(self, model: ModelKey = MODEL, undo_for: timedelta = timedelta(0)) -> Gallery:
        with ExitStack() as opened:
            store = PostgresRecordStore(Database(self._url))
            opened.callback(store.close)
            return Gallery(
                store, NumpyIndex(), self._images, model, DIM, opened.pop_all(), undo_for, writing=store.write_lock
            )

    def damage(self, seq: int) -> None:
        self._server.execute("UPDATE record SET media_type = 'x' WHERE seq = %s", seq, url=self._url)


class MemoryBackend(_ImagesInMemory):
    """Its store outlives a gallery, too; what was found damaged is forgotten when it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self._store = DictStore()

    def open(self, model: ModelKey = MODEL, undo_for: timedelta = timedelta(0)) -> Gallery:
        self._store.found.clear()
        with ExitStack() as opened:
            index = self._open_index(model, opened)
            return Gallery(self._store, index, self._images, model, DIM, opened, undo_for)

    def damage(self, seq: int) -> None:
        self._store.broken.add(seq)

    def _open_index(self, model: ModelKey, opened: ExitStack) -> VectorIndex:
        return NumpyIndex()


class MilvusBackend(MemoryBackend):
    """Its rows outlive a gallery, too."""

    def __init__(self, uri: str, prefix: str) -> None:
        super().__init__()
        self._options = MilvusOptions(uri, prefix=prefix, timeout_s=60)
        self._indexes: dict[ModelKey, MilvusIndex] = {}

    def close(self) -> None:
        for index in self._indexes.values():
            index.collection.drop()
            index.close()

    def _open_index(self, model: ModelKey, opened: ExitStack) -> VectorIndex:
        from index.milvus.milvus_index import MilvusIndex  # which takes a second

        self._indexes[model] = opened.enter_context(closing(MilvusIndex(self._options, model, DIM)))
        return self._indexes[model]
