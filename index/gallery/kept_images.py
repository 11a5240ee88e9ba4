"""The image files of a gallery's records: kept as long as a record, a backup or a repair may need them."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from index.gallery.errors import GalleryError
from index.gallery.image_files import ImageFiles
from index.gallery.record_store import RecordStore

_LOG: Final = logging.getLogger(__name__)


class KeptImages:
    """The files of `files` seen together with the records that name them. Its owner lets one thread at a time write.

    Attributes:
        strays: the images that no record names. They stay: a newer database or a damaged record may name them.
        damaged: the images found so far to be missing or damaged though a record names them, each logged once.
    """

    def __init__(self, files: ImageFiles, store: RecordStore) -> None:
        self._files = files
        self._store = store
        stored, named = files.contents(), store.contents()
        self.strays = stored - named
        self.damaged = self._missing(named - stored)
        if self.damaged:
            _LOG.error(
                "%d image files of records are missing: restore the folder images, or enrol them again",
                len(self.damaged),
            )
        if self.strays:
            _LOG.warning(
                "%d image files have no record and are kept: restore the newer gallery.sqlite that names them, or "
                "enrol them again",
                len(self.strays),
            )

    def _missing(self, absent: set[str]) -> set[str]:
        """Those of the images without a file that are lost: not in the trash, and not the word of a damaged record."""
        if not absent:
            return set()
        return absent - self._files.contents_of_trash(timedelta(0)) - self._store.doubtful_contents()

    @contextmanager
    def stored(self, images: Mapping[str, Callable[[], bytes]]) -> Iterator[None]:
        """The block commits records of these images, each by its content and a way to read its bytes.

        They are on disk before the block begins. If it raises, those that were not there before are removed again,
        unless a committed record names them: the block may have been interrupted after its commit.
        """
        absent = self._files.absent(images)
        try:
            self._files.put((content, read()) for content, read in images.items())
            yield
        except BaseException:
            try:
                self._files.undo_put(absent - self._store.named(absent))
            except GalleryError as error:
                _LOG.error("image files of an enrolment that failed may be left behind: %s", error)
            raise
        self.strays.difference_update(images)
        self.damaged.difference_update(images)

    @contextmanager
    def taken_back(self, contents: Collection[str]) -> Iterator[None]:
        """The block commits records that were deleted; their images come back from the trash before.

        If it raises, those that no committed record names go to the trash again. An image that is lost stays so.
        """
        for content in self._files.absent(contents):
            self._files.take_back(content)
        try:
            yield
        except BaseException:
            self.discard_unnamed(set(contents))
            raise
        self.strays.difference_update(contents)
        self.damaged |= self._files.absent(contents)

    def is_intact(self, content: str) -> bool:
        """Whether `get` would give the image."""
        try:
            self.get(content)
        except GalleryError:
            return False
        return True

    def restore(self, images: Mapping[str, Callable[[], bytes]]) -> None:
        """Stores those of the images again that are missing or damaged."""
        lost = {content: read for content, read in images.items() if not self.is_intact(content)}
        if lost:
            with self.stored(lost):
                pass

    def get(self, content: str) -> bytes:
        """The bytes of an image.

        Raises:
            GalleryError: the file is missing or damaged: `recover` may help.
        """
        data = self._files.get(content)
        self.damaged.discard(content)
        return data

    def recover(self, content: str) -> bytes:
        """The bytes of a missing or damaged image that a record names; out of the trash, if it is there.

        Raises:
            GalleryError: it is not.
        """
        self._files.take_back(content)
        try:
            return self.get(content)
        except GalleryError as error:
            if content not in self.damaged:
                self.damaged.add(content)
                _LOG.error("%s", error)
            raise

    def discard_unnamed(self, contents: set[str]) -> None:
        """Moves those of the images that no record names any more to the trash."""
        unnamed = contents - self._store.named(contents)
        self.damaged -= unnamed
        try:
            self._files.discard(unnamed)
        except GalleryError as error:
            # The records are gone all the same.
            left = unnamed - self._files.absent(unnamed)
            self.strays |= left
            _LOG.error("%d image files of deleted records could not be moved to the trash: %s", len(left), error)

    def empty_trash(self, older_than: timedelta, shelf: str = "*") -> int:
        """Removes for good what came to the trash more than this time ago, to the day; returns how many files.

        What a record names and lacks is taken back first. What a deletion that can be undone needs stays.
        """
        for content in self._store.named(self._files.contents_of_trash(older_than, shelf)):
            if not self.is_intact(content):
                self._files.take_back(content)
        return self._files.empty_trash(older_than, self._store.deleted_contents(), shelf)
