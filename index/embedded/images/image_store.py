"""Image files on disk, named by their content: the same bytes are stored once."""

import logging
import re
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Final

from index.embedded.disk import disk_errors, replace_bytes, sync_folder
from index.embedded.images.image_trash import ImageTrash
from index.gallery.errors import GalleryError
from index.gallery.record import content_hash

_LOG = logging.getLogger(__name__)

# Syncing a file waits for the disk, and a disk syncs many at once as fast as one.
_WRITERS: Final = 16
CONTENT: Final = re.compile(r"[0-9a-f]{64}")
_NAME: Final = re.compile(r"([0-9a-f]{64})(\.tmp)?")


class ImageStore:
    """Implements `index.gallery.image_files.ImageFiles`: ``<root>/ab/abcdef..``, each file in one of 256 folders.

    Nothing is removed for good but by `undo_put` and `empty_trash`; what else goes, goes to the trash.
    """

    def __init__(self, root: Path, trash: Path) -> None:
        self._root = root
        self._trash = ImageTrash(trash)
        with disk_errors(root):
            root.mkdir(parents=True, exist_ok=True)

    def put(self, images: Iterable[tuple[str, bytes]]) -> None:
        """Stores (content hash, bytes), several at a time; when it returns, all of them survive a power cut.

        A file appears under its name only when it is whole, so a crash leaves at most an unfinished ``.tmp``.

        Raises:
            GalleryFullError: the disk has no room.
            GalleryError: bytes that do not have their hash, or the folder cannot be written.
        """
        remaining = iter(images)
        folders: set[Path] = set()
        with ThreadPoolExecutor(_WRITERS) as pool:
            while batch := dict(islice(remaining, _WRITERS)):
                with disk_errors(self._root):
                    for content in batch:
                        self._path(content).parent.mkdir(exist_ok=True)
                    folders |= set(pool.map(self._write, batch.items()))
            # Also for what was there already: whoever wrote it may have failed before this.
            with disk_errors(self._root):
                list(pool.map(sync_folder, folders | ({self._root} if folders else set())))

    def _write(self, image: tuple[str, bytes]) -> Path:
        content, data = image
        if content_hash(data) != content:
            raise GalleryError(f"the image {content} changed since it was embedded: send it again")
        path = self._path(content)
        if not path.exists() or path.read_bytes() != data:
            replace_bytes(path, data)
        return path.parent

    def absent(self, contents: Iterable[str]) -> set[str]:
        return {content for content in contents if not self._path(content).exists()}

    def undo_put(self, contents: Iterable[str]) -> None:
        with disk_errors(self._root):
            for content in contents:
                self._path(content).unlink(missing_ok=True)

    def get(self, content: str) -> bytes:
        try:
            with disk_errors(self._path(content)):
                data = self._path(content).read_bytes()
        except GalleryError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise GalleryError(
                    f"the image {content} is missing from the gallery's folder: enrol it again"
                ) from None
            raise
        if content_hash(data) != content:
            raise GalleryError(f"the image {content} was damaged on disk: enrol it again")
        return data

    def discard(self, contents: Iterable[str]) -> None:
        """Moves images to the trash; those that have no file are fine.

        Raises:
            GalleryError: a file cannot be moved; it and those behind it stay.
        """
        for content in contents:
            # A damaged record may name anything, also a path.
            if CONTENT.fullmatch(content) and self._path(content).exists():
                self._trash.throw(self._path(content))

    def take_back(self, content: str) -> bool:
        return self._trash.take_back(content, self._path(content))

    def contents(self) -> set[str]:
        return {match[1] for _, match in self._files() if match[2] is None}

    def is_empty(self) -> bool:
        """Whether no image is stored."""
        return not any(match[2] is None for _, match in self._files())

    def discard_unfinished(self) -> None:
        """Moves to the trash what a crash in the middle of `put` left. Whatever else lies in the folder stays."""
        num_moved = 0
        for path in [path for path, match in self._files() if match[2] is not None]:
            try:
                self._trash.throw(path)
                num_moved += 1
            except GalleryError as error:
                if path.exists() or not isinstance(error.__cause__, FileNotFoundError):
                    raise
        if num_moved:
            _LOG.info("moved %d unfinished image files to the trash", num_moved)

    def contents_of_trash(self, older_than: timedelta, shelf: str = "*") -> set[str]:
        return set(filter(CONTENT.fullmatch, self._trash.contents(older_than, shelf)))

    def empty_trash(self, older_than: timedelta, kept: Collection[str], shelf: str = "*") -> int:
        return self._trash.empty(older_than, kept, shelf)

    def _files(self) -> Iterator[tuple[Path, re.Match[str]]]:
        for path in self._root.glob("*/*"):
            match = _NAME.fullmatch(path.name)
            if match is not None and path.parent.name == match[1][:2] and path.is_file():
                yield path, match

    def _path(self, content: str) -> Path:
        return self._root / content[:2] / content
