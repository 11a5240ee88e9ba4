"""Image files on disk, named by their content: the same bytes are stored once."""

import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Final

from index.gallery import GalleryError
from index.record import content_hash

# Syncing a file waits for the disk, and a disk syncs many at once as fast as one.
_WRITERS: Final = 16
_NAME: Final = re.compile(r"([0-9a-f]{64})(\.tmp)?")


class ImageStore:
    """``<root>/ab/abcdef..``: 256 folders, each file named by the SHA-256 of its bytes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    def put(self, images: Iterable[tuple[str, bytes]]) -> None:
        """Stores (content hash, bytes), some at a time; when it returns, all of them survive a power cut.

        A file appears under its name only when it is whole, so a crash leaves at most an unfinished ``.tmp``.

        Raises:
            GalleryError: bytes that do not have their hash.
        """
        remaining = iter(images)
        folders: set[Path] = set()
        with ThreadPoolExecutor(_WRITERS) as pool:
            while some := dict(islice(remaining, _WRITERS)):
                for content in some:
                    self._path(content).parent.mkdir(exist_ok=True)
                folders |= set(pool.map(self._write, some.items()))
            # Also for what was there already: whoever wrote it may have failed before this.
            list(pool.map(_sync_folder, folders | ({self._root} if folders else set())))

    def _write(self, image: tuple[str, bytes]) -> Path:
        content, data = image
        if content_hash(data) != content:
            raise GalleryError(f"the image {content} changed since it was embedded: send it again")
        path = self._path(content)
        if not path.exists() or path.read_bytes() != data:
            temporary = path.with_suffix(".tmp")
            try:
                with temporary.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        return path.parent

    def get(self, content: str) -> bytes:
        """The bytes of a stored image.

        Raises:
            GalleryError: the file is gone or was changed, though a record names it.
        """
        try:
            data = self._path(content).read_bytes()
        except FileNotFoundError:
            raise GalleryError(f"the image {content} is missing from the gallery's folder: enrol it again") from None
        if content_hash(data) != content:
            raise GalleryError(f"the image {content} was damaged on disk: delete its records and enrol it again")
        return data

    def discard(self, contents: Iterable[str]) -> None:
        """Removes images; those that are gone already are fine."""
        for content in contents:
            self._path(content).unlink(missing_ok=True)

    def contents(self) -> set[str]:
        """The content hash of every image that is stored."""
        return {match[1] for _, match in self._files() if match[2] is None}

    def sweep(self, wanted: set[str]) -> int:
        """Removes images that no record names, which a crash before the commit leaves; returns how many files.

        Whatever else lies in the folder is not ours and stays.
        """
        stray = [path for path, match in self._files() if match[2] is not None or match[1] not in wanted]
        for path in stray:
            path.unlink()
        return len(stray)

    def _files(self) -> Iterator[tuple[Path, re.Match[str]]]:
        for path in self._root.glob("*/*"):
            match = _NAME.fullmatch(path.name)
            if match is not None and path.parent.name == match[1][:2] and path.is_file():
                yield path, match

    def _path(self, content: str) -> Path:
        return self._root / content[:2] / content


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
