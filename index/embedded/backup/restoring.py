"""A new gallery out of a backup."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from index.embedded.backup.backing_up import StoppedError
from index.embedded.backup.backup_folder import Backup
from index.embedded.backup.staged_folder import is_free, staged_folder
from index.embedded.data_folder import DATABASE, LOCK, owned
from index.embedded.disk import disk_errors
from index.embedded.images.image_reader import ImageReader
from index.embedded.images.image_store import ImageStore
from index.embedded.records.record_reader import RecordReader
from index.gallery.errors import GalleryError
from index.gallery.verification import Progress


@dataclass
class RestoreOutcome:
    """What was restored.

    Attributes:
        backup: what it was restored from.
        lost_images: what is wrong with each image that the backup should have and has not, by its content.
    """

    backup: Backup
    lost_images: dict[str, str] = field(default_factory=dict)


def restore(
    backup_dir: Path, data_dir: Path, *, partial: bool, progress: Progress, stop_asked: Callable[[], bool]
) -> RestoreOutcome:
    """Makes a data folder, which appears when it is complete. Every byte is compared with its checksum on the way.

    Args:
        backup_dir: with a finished backup.
        data_dir: absent or empty.
        partial: restores what can be had where images of the backup are damaged or missing.
        progress: told how far it is.
        stop_asked: whether to stop.

    Raises:
        StoppedError: it was asked to; there is nothing in `data_dir`.
        GalleryLockedError: a service has `data_dir` open.
        GalleryError: there is no sound backup, or something in `data_dir`, or the disk refuses.
    """
    backup = Backup.read(backup_dir)
    if (data_dir / DATABASE).exists() or ((data_dir / "images").exists() and not is_free(data_dir)):
        raise GalleryError(f"there is a gallery in {data_dir} already: restore to another folder, or move it away")
    if not is_free(data_dir):
        raise GalleryError(f"{data_dir} is not empty: restore to another folder")
    database = backup.check_database(backup_dir)
    outcome = RestoreOutcome(backup)
    with ExitStack() as held:
        if data_dir.is_mount() or (data_dir / LOCK).exists():
            held.enter_context(owned(data_dir))
        folder = held.enter_context(staged_folder(data_dir))
        with disk_errors(folder):
            copy = folder / DATABASE
            shutil.copyfile(database, copy)
            with copy.open("rb") as file:
                os.fsync(file.fileno())
        _restore_images(backup_dir, folder, outcome, progress, stop_asked)
        unexpected = outcome.lost_images.keys() - set(backup.absent_images)
        if unexpected and not partial:
            first = outcome.lost_images[min(unexpected)]
            raise GalleryError(
                f"{len(unexpected)} images of the backup are damaged or missing ({first}): restore another backup, or "
                "what there is of this one with --partial"
            )
    return outcome


def _restore_images(
    backup_dir: Path, folder: Path, outcome: RestoreOutcome, progress: Progress, stop_asked: Callable[[], bool]
) -> None:
    source = ImageReader(backup_dir)

    def images(records: RecordReader) -> Iterator[tuple[str, bytes]]:
        for done, content in enumerate(records.contents(), start=1):
            if stop_asked():
                raise StoppedError("stopped; nothing was restored")
            try:
                data = source.get(content)
            except GalleryError as error:
                outcome.lost_images[content] = str(error)
            else:
                yield content, data
            progress("images", done, outcome.backup.num_images)

    with RecordReader(folder / DATABASE) as records:
        ImageStore(folder / "images", folder / "trash").put(images(records))
