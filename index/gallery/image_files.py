"""What a gallery asks of whatever keeps its image files: a folder, or an object storage."""

from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Protocol


class ImageFiles(Protocol):
    """Image files, each named by its content: the SHA-256 (hex) of its bytes. What is discarded waits in a trash.

    Every call raises `GalleryError` where the files cannot be read or written, and `GalleryFullError` without room.
    """

    def contents(self) -> set[str]:
        """Every image that is stored, by its name; whether it is intact only `get` tells."""

    def absent(self, contents: Iterable[str]) -> set[str]:
        """Those of the images that have no file."""

    def get(self, content: str) -> bytes:
        """The bytes of an image; raises `GalleryError` if it is missing or damaged."""

    def put(self, images: Iterable[tuple[str, bytes]]) -> None:
        """Stores (content, bytes), over a damaged file too; all of them are durable when it returns.

        Raises `GalleryError` for bytes that do not have their hash.
        """

    def undo_put(self, contents: Iterable[str]) -> None:
        """Removes images for good that were absent before a `put`, and that nobody will ever name."""

    def discard(self, contents: Iterable[str]) -> None:
        """Moves images to the trash; those that have no file, and names that no image can have, are fine."""

    def take_back(self, content: str) -> bool:
        """Moves an image out of the trash again, over a damaged one; False if no intact copy is there."""

    def contents_of_trash(self, older_than: timedelta, shelf: str = "*") -> set[str]:
        """The images in the trash that came there more than this time ago, to the day.

        A shelf has those whose names begin with these two digits; ``*`` is all.
        """

    def empty_trash(self, older_than: timedelta, kept: Collection[str], shelf: str = "*") -> int:
        """Removes `contents_of_trash` for good, but for the images in `kept`; returns how many files."""
