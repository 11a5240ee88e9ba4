"""Reads image files that a service may be changing at the same time, and never changes them."""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from index.embedded.disk import disk_errors
from index.embedded.images.image_store import CONTENT
from index.gallery.errors import GalleryError
from index.gallery.record import content_hash

_UNFINISHED: Final = ".tmp"


class ImageReader:
    """The images of a folder that is laid out as a gallery's: ``images`` and ``trash`` in it, or ``images`` alone.

    Implements `index.gallery.verification.VerifiedImages`. Unlike an `ImageStore` it creates no folder.
    """

    def __init__(self, folder: Path) -> None:
        self._images = folder / "images"
        self._trash = folder / "trash"

    def contents(self) -> set[str]:
        """Every image that is stored, by its name; whether it is intact only `get` tells."""
        return {path.name for path in self._files(self._images) if self._is_image(path)}

    def absent(self, contents: Iterable[str]) -> set[str]:
        """Those of the images that have no file."""
        return {content for content in contents if not self._path(content).is_file()}

    def get(self, content: str) -> bytes:
        """The bytes of an image.

        Raises:
            GalleryError: it is missing or damaged.
        """
        path = self._path(content)
        if not CONTENT.fullmatch(content) or not path.is_file():
            raise GalleryError(f"the image {content} is missing from {self._images}")
        with disk_errors(path):
            data = path.read_bytes()
        if content_hash(data) != content:
            raise GalleryError(f"the image {content} in {self._images} is damaged")
        return data

    def get_also_from_trash(self, content: str) -> bytes:
        """The bytes of an image, wherever an intact copy of it lies.

        Raises:
            GalleryError: there is none.
        """
        # An image that is moved to the trash or back while it is looked for is found on the second way at the latest.
        for path in (self._path(content), *self._copies_in_trash(content), self._path(content)):
            if path.is_file():
                with disk_errors(path):
                    data = path.read_bytes()
                if content_hash(data) == content:
                    return data
        problem = "damaged" if self._path(content).is_file() else "missing"
        raise GalleryError(f"the image {content} is {problem}, and no intact copy of it is in the trash")

    def size_bytes(self, content: str) -> int | None:
        """The size of an image's file; None if there is none."""
        try:
            return self._path(content).stat().st_size
        except OSError:
            return None

    def contents_of_trash(self, older_than: timedelta) -> set[str]:
        """The images in the trash that came there more than this time ago, to the day."""
        last_day = (datetime.now(UTC) - older_than).date()
        return {path.name for day, path in self._trash_files() if day <= last_day and CONTENT.fullmatch(path.name)}

    def damaged_in_trash(self) -> list[Path]:
        """The files in the trash whose bytes do not have their name."""
        return sorted(
            path
            for _, path in self._trash_files()
            if CONTENT.fullmatch(path.name) and not _is_intact(path) and path.is_file()
        )

    def unfinished(self) -> list[Path]:
        """What a crash left in the middle of an enrolment, or one that is under way is writing just now."""
        return sorted(path for path in self._files(self._images) if path.suffix == _UNFINISHED)

    def foreign(self) -> list[Path]:
        """Files in the folder of images that are none, by their name or the folder that they lie in."""
        return sorted(
            path for path in self._files(self._images) if path.suffix != _UNFINISHED and not self._is_image(path)
        )

    def _is_image(self, path: Path) -> bool:
        return CONTENT.fullmatch(path.name) is not None and path == self._path(path.name)

    def _path(self, content: str) -> Path:
        return self._images / content[:2] / content

    def _copies_in_trash(self, content: str) -> Iterator[Path]:
        if CONTENT.fullmatch(content):
            yield from self._trash.glob(f"*/images/{content[:2]}/{content}")

    def _trash_files(self) -> Iterator[tuple[date, Path]]:
        for path in self._files(self._trash):
            try:
                day = date.fromisoformat(path.relative_to(self._trash).parts[0])
            except ValueError:
                continue  # not ours
            yield day, path

    @staticmethod
    def _files(folder: Path) -> Iterator[Path]:
        with disk_errors(folder):
            for path in folder.rglob("*"):
                if path.is_file():
                    yield path


def _is_intact(path: Path) -> bool:
    try:
        return content_hash(path.read_bytes()) == path.name
    except OSError:
        return False
