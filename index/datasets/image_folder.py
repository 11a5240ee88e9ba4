"""The images below a folder, as people have them: links, hidden files, endings of any kind, and other files between."""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from index.datasets.first_names import first_names
from model.file_type import identify
from model.image import ImageError

_LEFT_BY_PROGRAMS: Final = {
    "__macosx", "@eadir", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "#recycle", "lost+found",
    "system volume information",
}  # fmt: skip
"""What archivers, file managers and disks leave behind, in small letters; nobody means these as data."""

_HEAD_BYTES: Final = 256


@dataclass
class ImageFolder:
    """What `find_images` found.

    Attributes:
        images: their paths relative to the folder with ``/`` between the parts, sorted part by part.
        warnings: what was left out, counted, and the first of it by name.
    """

    images: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def find_images(folder: Path) -> ImageFolder:
    """All images below a folder, known by their first bytes, whatever they are called.

    Links to files and folders are followed, but not one that leads back to a folder that it lies in. Hidden files and
    folders, and what programs leave behind (``._a.jpg``, ``__MACOSX``, ``Thumbs.db``, ...), do not count.

    Raises:
        OSError: the folder itself cannot be read.
    """
    images: list[str] = []
    folders: list[str] = []
    others: list[str] = []
    broken: list[str] = []
    circular: list[str] = []
    unreadable: list[str] = []
    top = os.stat(folder)  # noqa: PTH116
    # A folder that waits to be read, and the identities (device, inode) of those that it lies in and of itself.
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset({(top.st_dev, top.st_ino)}))]
    while waiting:
        below, ancestors = waiting.pop()
        try:
            names = sorted(os.listdir(folder / below))  # noqa: PTH208 - the names alone, quickly
        except OSError:
            if not below:
                raise
            unreadable.append(below)
            continue
        for name in names:
            if is_left_out(name):
                continue
            path = f"{below}/{name}" if below else name
            try:
                status = os.stat(folder / path)  # noqa: PTH116
                if stat.S_ISDIR(status.st_mode):
                    identity = status.st_dev, status.st_ino
                    if identity in ancestors:
                        circular.append(path)
                    else:
                        folders.append(path)
                        waiting.append((path, ancestors | {identity}))
                elif stat.S_ISREG(status.st_mode) and is_image_file(folder / path):
                    images.append(path)
                else:
                    others.append(path)
            except OSError:
                (broken if (folder / path).is_symlink() else unreadable).append(path)
    return ImageFolder(
        sorted(images, key=_parts),
        [
            *_warning(others, "files in no format that is read, left out"),
            *_warning(_without_image(folders, images), "folders without an image"),
            *_warning(broken, "links that lead nowhere, left out"),
            *_warning(circular, "links back to a folder that they lie in, not followed"),
            *_warning(unreadable, "files and folders that cannot be opened, left out"),
        ],
    )


def is_left_out(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or left behind by a program: nobody means it as data."""
    return name.startswith(".") or name.casefold() in _LEFT_BY_PROGRAMS


def is_image_file(path: Path) -> bool:
    """Whether a file begins as one of the formats that are read.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    try:
        identify(head)
    except ImageError:
        return False
    return True


def _without_image(folders: Sequence[str], images: Sequence[str]) -> list[str]:
    """Folders without an image in them or below; of several in each other the uppermost."""
    with_image = {""}
    for path in images:
        while path := path.rpartition("/")[0]:
            with_image.add(path)
    return [path for path in folders if path not in with_image and path.rpartition("/")[0] in with_image]


def _warning(paths: Sequence[str], what: str) -> list[str]:
    if not paths:
        return []
    return [f"{what}: {len(paths)} ({first_names(sorted(paths, key=_parts))})"]


def _parts(path: str) -> list[str]:
    return path.split("/")
