"""Mends what can be mended in a gallery's folder, and sets aside what cannot."""

import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from index.embedded.aside import AsideFolder
from index.embedded.data_folder import DATABASE, SNAPSHOT
from index.embedded.disk import disk_errors
from index.embedded.gallery_check import FolderFindings
from index.embedded.generation import current_folder
from index.embedded.images.image_store import ImageStore
from index.embedded.records.database_repair import repair_database
from index.gallery.errors import GalleryError


@dataclass
class FolderRepair:
    """What a repair did.

    Attributes:
        done: in sentences.
        enrol_again: (id, source) of each record that has to be enrolled again, because it or its image is lost.
        unreadable: why the database could not be mended; None if it could.
    """

    done: list[str] = field(default_factory=list)
    enrol_again: list[tuple[str, str | None]] = field(default_factory=list)
    unreadable: str | None = None


def repair_folder(data_dir: Path, found: FolderFindings) -> FolderRepair:
    """Mends a data folder that the caller owns, after `check_folder` has found what is wrong with it.

    Raises:
        GalleryError: the disk refuses; what was mended until then stays mended.
    """
    repair = FolderRepair()
    aside = AsideFolder(data_dir)
    if found.database or found.gallery.damaged_records or found.gallery.unreadable:
        try:
            of_database = repair_database(current_folder(data_dir) / DATABASE, aside)
        except GalleryError as error:
            repair.unreadable = str(error)
        else:
            repair.done += of_database.done
            repair.enrol_again += of_database.lost
    _repair_images(data_dir, found, aside, repair)
    if found.snapshot:
        with disk_errors(data_dir):
            shutil.rmtree(current_folder(data_dir) / SNAPSHOT)
        repair.done.append("the damaged snapshot was removed: the service makes a new one from the records")
    return repair


def _repair_images(data_dir: Path, found: FolderFindings, aside: AsideFolder, repair: FolderRepair) -> None:
    images = data_dir / "images"
    files = ImageStore(images, data_dir / "trash")
    lost = [(image.content, image.records) for image in found.gallery.lost_images]
    damaged = [image.content for image in found.gallery.lost_images if image.problem == "damaged"]
    damaged += found.gallery.damaged_strays
    for path in [*(images / content[:2] / content for content in damaged), *found.trash]:
        with suppress(FileNotFoundError):
            repair.done.append(f"{path} was damaged, and is now {aside.move(path)}")
    for content, records in lost:
        if files.take_back(content):
            repair.done.append(f"the image {content} was taken back from the trash")
        else:
            repair.enrol_again += records
    if found.unfinished:
        files.discard_unfinished()
        repair.done.append(f"{len(found.unfinished)} unfinished image files were moved to the trash")
