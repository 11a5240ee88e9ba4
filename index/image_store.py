"""Image files on disk, named by their content: the same bytes are stored once."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from index.gallery import GalleryError
from index.record import content_hash


class ImageStore:
    """``<root>/ab/abcdef..``: 256 folders, each file named by the SHA-256 of its bytes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    def put(self, images: Iterable[tuple[str, bytes]]) -> None:
        """Stores (content hash, bytes), one after the other; when it returns, all of them survive a power cut.

        A file appears under its name only when it is whole, so a crash leaves at most an unfinished ``.tmp``.
        """
        folders = set()
        for content, data in images:
            path = self._path(content)
            if not path.parent.exists():
                path.parent.mkdir()
            # Also for what is there already: whoever wrote it may have failed before this.
            folders |= {self._root, path.parent}
            if path.exists() and path.read_bytes() == data:
                continue
            temporary = path.with_suffix(".tmp")
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        for folder in folders:
            _sync_folder(folder)

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

    def sweep(self, wanted: set[str]) -> int:
        """Removes what no record names, which a crash between file and commit leaves; returns how many files."""
        stray = [path for path in self._files() if path.name not in wanted]
        for path in stray:
            path.unlink()
        return len(stray)

    def _files(self) -> Iterator[Path]:
        return self._root.glob("*/*")

    def _path(self, content: str) -> Path:
        return self._root / content[:2] / content


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
