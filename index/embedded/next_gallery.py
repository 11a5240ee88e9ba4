"""The gallery that is to take another one's place, once its records are there: opened while the other one serves."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

from index.embedded.data_folder import DATABASE
from index.embedded.disk import disk_errors
from index.embedded.generation import Generation, current_folder, next_generation
from index.embedded.opening import GalleryParts
from index.embedded.records.successor import Followed, Successor
from index.embedded.search.certified_search import Scan
from index.gallery.catching_up import catch_up
from index.gallery.errors import GalleryError
from index.gallery.gallery import Gallery
from index.gallery.record import ModelKey


@contextmanager
def open_successor(data_dir: Path, model: ModelKey) -> Iterator[Successor]:
    """The records of the next generation of a folder that this process owns, and whose gallery is open.

    Raises:
        GalleryError: the disk refuses.
    """
    folder = next_generation(data_dir, model).folder(data_dir)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with Successor(current_folder(data_dir) / DATABASE, folder / DATABASE, model) as successor:
        yield successor


class NextGallery:
    """Its index is filled when it is opened, which takes its time; what comes after that is little."""

    def __init__(self, data_dir: Path, model: ModelKey, embedding_dim: int, scan: Scan | None) -> None:
        """Opens what `open_successor` has filled.

        Raises:
            GalleryError: it cannot be read.
        """
        self._data_dir = data_dir
        self._generation = next_generation(data_dir, model)
        self._opened = ExitStack()
        with ExitStack() as failed, disk_errors(data_dir):
            failed.callback(self._opened.close)
            folder = self._generation.folder(data_dir)
            # The gallery that takes the writes puts images into the folder of both meanwhile.
            self._parts = GalleryParts(self._opened, data_dir, folder, model, embedding_dim, scan=scan, cleans_up=False)
            catch_up(self._parts.index, self._parts.store, model)
            failed.pop_all()

    def close(self) -> None:
        """Closes it, if no gallery was made of it."""
        self._opened.close()

    def follow(self, followed: Followed) -> None:
        """What the successor has followed since it was opened."""
        self._parts.index.remove(followed.removed)
        self._parts.index.update(followed.changed)

    def gallery(self, undo_for: timedelta) -> Gallery:
        """The gallery, for who closes it, after the last that is to be followed.

        Raises:
            GalleryError: it cannot be opened.
        """
        return self._parts.gallery(undo_for)

    def take_place(self) -> None:
        """Makes this the generation that serves, durably, while the gallery before it writes nothing.

        Raises:
            GalleryError: the disk refuses; the generation before it serves on.
        """
        try:
            self._generation.write(self._data_dir)
        except GalleryError:
            # What counts is what the next start will read: it may be there, although that it stays there was refused.
            if not self._is_current():
                raise

    def _is_current(self) -> bool:
        try:
            return Generation.read(self._data_dir) == self._generation
        except GalleryError:
            return False
