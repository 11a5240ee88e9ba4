"""A folder that appears whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from index.embedded.data_folder import CONVERTED, LOCK, held
from index.embedded.disk import disk_errors, sync_folder
from index.gallery.errors import GalleryError

# Within a mount point, such as a container's volume, which no folder can be renamed to.
_INSIDE: Final = ".unfinished"
_OWN_LOCK: Final = ".lock"
# What file systems have at their top.
_SYSTEM: Final = "lost+found"


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target`, to be filled by the block; renamed to `target` at its end, removed if the block raises.

    Killed meanwhile, it stays under its own name, ``.NAME.unfinished``; the next one for the same target removes it.
    `target` is free (`is_free`). If it is a mount point, the folder lies in it, and what is in it is moved up, files
    last: a gallery without its database is not opened.

    Raises:
        GalleryError: another process fills the same folder, or `target` is not free any more, or the disk refuses.
    """
    target = target.absolute()
    is_mount = target.is_mount()
    staged = target / _INSIDE if is_mount else target.with_name(f".{target.name}.unfinished")
    if staged.is_symlink():  # what it leads to would be emptied
        raise GalleryError(f"{staged} is a link: remove it")
    with disk_errors(target):
        staged.mkdir(parents=True, exist_ok=True)
    with held(staged / _OWN_LOCK, GalleryError(f"another process is filling {staged}: wait for it")):
        try:
            _empty(staged, keep={_OWN_LOCK})
            if is_mount:
                _empty(target, keep={_INSIDE, LOCK, _SYSTEM, CONVERTED})
            yield staged
            with disk_errors(target):
                _sync(staged)
                if is_mount:
                    _move_up(staged, target)
                else:
                    (target / LOCK).unlink(missing_ok=True)
                    staged.replace(target)
                    (target / _OWN_LOCK).unlink()
                    sync_folder(target)
                    sync_folder(target.parent)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise


def is_free(target: Path) -> bool:
    """Whether `target` is absent or empty, but for a lock, converted networks and what a `staged_folder` left."""
    if not target.exists():
        return True
    if not target.is_dir():
        return False
    there = [path for path in target.iterdir() if path.name not in (LOCK, _SYSTEM, CONVERTED)]
    half_moved = target / _INSIDE in there and not any(path.is_file() for path in there)
    return not there or half_moved


def _empty(folder: Path, keep: set[str]) -> None:
    with disk_errors(folder):
        for path in folder.iterdir():
            if path.name in keep:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _move_up(staged: Path, target: Path) -> None:
    for part in sorted(staged.iterdir(), key=lambda path: (path.is_file(), path.name)):
        if part.name != _OWN_LOCK:
            part.rename(target / part.name)
    sync_folder(target)
    shutil.rmtree(staged)


def _sync(folder: Path) -> None:
    """Waits until all names below a folder are on disk; its files are already."""
    for path, _, _ in os.walk(folder):
        sync_folder(Path(path))
