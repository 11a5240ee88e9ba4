"""Backs up a gallery that a service may be changing at the same time.

The records are copied as they are at one moment; the images that they name afterwards. An image is never changed, and
one whose record is deleted meanwhile waits in the trash.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from index.embedded.backup.backup_folder import LOCK, Backup, accepts_backup, file_sha256
from index.embedded.data_folder import DATABASE, held
from index.embedded.disk import disk_errors, sync_folder
from index.embedded.generation import current_folder
from index.embedded.images.image_reader import ImageReader
from index.embedded.images.image_store import ImageStore
from index.embedded.records.database_check import database_problems
from index.embedded.records.database_file import new_database, remove_database
from index.embedded.records.record_reader import RecordReader
from index.gallery.errors import GalleryError
from index.gallery.record import Record
from index.gallery.verification import Progress


class StoppedError(GalleryError):
    """The user asked to stop; what was finished before stays as it was."""


@dataclass
class BackupOutcome:
    """What became of a backup.

    Attributes:
        backup: what is in it now.
        copied, kept: images that were copied, and that an earlier backup had brought.
        damaged_records: (id, source) of the records that are damaged in the gallery, and so in the backup.
        lost_images: what is wrong with each image that could not be backed up, by its content.
        num_pruned: images that no record names any more and that were removed.
    """

    backup: Backup
    copied: int = 0
    kept: int = 0
    damaged_records: list[tuple[str, str | None]] = field(default_factory=list)
    lost_images: dict[str, str] = field(default_factory=dict)
    num_pruned: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether everything is in the backup as it was enrolled."""
        return not (self.lost_images or self.damaged_records)

    def to_dict(self) -> dict[str, Any]:
        """What `python -m index.backup --json` prints, but for the folders."""
        return {
            "created_at": self.backup.created_at,
            "records": self.backup.num_records,
            "images": self.backup.num_images - len(self.lost_images),
            "database_bytes": self.backup.database_bytes,
            "database_sha256": self.backup.database_sha256,
            "copied": self.copied,
            "kept": self.kept,
            "pruned": self.num_pruned,
            "damaged_records": [{"id": id_, "source": source} for id_, source in self.damaged_records],
            "lost_images": [{"content": content, "problem": problem} for content, problem in self.lost_images.items()],
        }


def back_up(
    data_dir: Path,
    out: Path,
    *,
    check: bool,
    prune: bool,
    progress: Progress,
    stop_asked: Callable[[], bool],
) -> BackupOutcome:
    """Makes the backup in `out` one of the gallery as it is now; until the end it is what it was.

    Args:
        data_dir: the gallery's folder.
        out: absent, empty, or an earlier backup's, of which only what is missing is copied.
        check: also reads every image that is there already. Otherwise its size tells that it is whole.
        prune: removes the images that the new backup does not name.
        progress: told how far it is.
        stop_asked: whether to stop.

    Raises:
        StoppedError: it was asked to.
        GalleryError: `out` has something else in it, the database is damaged, or the disk refuses.
    """
    if not accepts_backup(out):
        raise GalleryError(f"{out} is neither empty nor a backup: name another folder")
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    # The lock's name is the mark by which an unfinished backup is known.
    with held(out / LOCK, GalleryError(f"another backup to {out} is under way: wait for it")):
        return _back_up(data_dir, out, check, prune, progress, stop_asked)


def _back_up(
    data_dir: Path, out: Path, check: bool, prune: bool, progress: Progress, stop_asked: Callable[[], bool]
) -> BackupOutcome:
    unfinished = out / f"{DATABASE}.tmp"
    try:
        created_at = datetime.now(UTC)
        _copy_database(current_folder(data_dir) / DATABASE, unfinished, progress, stop_asked)
        with RecordReader(unfinished) as records:
            outcome = BackupOutcome(_describe(unfinished, records, created_at))
            _find_damaged_records(records, outcome, progress, stop_asked)
            _copy_images(records, data_dir, out, check, outcome, progress, stop_asked)
            with disk_errors(out):
                unfinished.replace(out / outcome.backup.database)
            outcome.backup.write(out)
            _remove_older(out, outcome, records if prune else None)
    except BaseException:
        remove_database(unfinished)
        raise
    return outcome


def _copy_database(source: Path, target: Path, progress: Progress, stop_asked: Callable[[], bool]) -> None:
    def show(done: int, total: int) -> None:
        _stop_if(stop_asked)
        progress("database", done, total)

    with disk_errors(target.parent), new_database(target) as copy:
        with RecordReader(source) as records:
            records.back_up(copy, show)
            problems = database_problems(copy, records.layout, stop_asked)
        _stop_if(stop_asked)
        if problems:
            raise GalleryError(
                f"{source} is damaged and is not backed up: {problems[0]}; stop the service and run "
                "python -m index.verify --repair, or restore an older backup"
            )


def _describe(database: Path, records: RecordReader, created_at: datetime) -> Backup:
    with disk_errors(database):
        sha256 = file_sha256(database)
        return Backup(
            created_at=created_at.isoformat(timespec="microseconds"),
            database=f"gallery-{sha256[:16]}.sqlite",
            database_sha256=sha256,
            database_bytes=database.stat().st_size,
            layout=records.layout,
            num_records=records.num_records(),
            num_images=records.num_images(),
            models=[(model.fingerprint, model.precision, number) for model, number in records.models()],
        )


def _find_damaged_records(
    records: RecordReader, outcome: BackupOutcome, progress: Progress, stop_asked: Callable[[], bool]
) -> None:
    for done, (_, record) in enumerate(records.walk(), start=1):
        if not isinstance(record, Record):
            outcome.damaged_records.append((record.id, record.source))
        progress("records", done, outcome.backup.num_records)
        _stop_if(stop_asked)


def _copy_images(
    records: RecordReader,
    data_dir: Path,
    out: Path,
    check: bool,
    outcome: BackupOutcome,
    progress: Progress,
    stop_asked: Callable[[], bool],
) -> None:
    source, there = ImageReader(data_dir), ImageReader(out)

    def missing() -> Iterator[tuple[str, bytes]]:
        for done, content in enumerate(records.contents(), start=1):
            _stop_if(stop_asked)
            if _is_there(content, source, there, check):
                outcome.kept += 1
            else:
                try:
                    data = source.get_also_from_trash(content)
                except GalleryError as error:
                    outcome.lost_images[content] = str(error)
                else:
                    outcome.copied += 1
                    yield content, data
            progress("images", done, outcome.backup.num_images)

    ImageStore(out / "images", out / "trash").put(missing())
    outcome.backup.absent_images.extend(outcome.lost_images)


def _is_there(content: str, source: ImageReader, there: ImageReader, check: bool) -> bool:
    size = there.size_bytes(content)
    if size is None:
        return False
    size_in_gallery = source.size_bytes(content)
    # A file that appeared under its name was whole then. Where the gallery has none of this size, only reading tells.
    if check or size != size_in_gallery:
        try:
            there.get(content)
        except GalleryError:
            return False
    return True


def _remove_older(out: Path, outcome: BackupOutcome, records: RecordReader | None) -> None:
    """Removes earlier databases and, by the records of this one, the images that it does not name."""
    with disk_errors(out):
        for path in out.glob("gallery-*.sqlite"):
            if path.name != outcome.backup.database:
                path.unlink()
        if records is not None:
            unnamed = ImageReader(out).contents() - set(records.contents())
            for path in [
                *(out / "images" / content[:2] / content for content in unnamed),
                *ImageReader(out).unfinished(),
            ]:
                path.unlink()
            outcome.num_pruned = len(unnamed)
        sync_folder(out)


def _stop_if(stop_asked: Callable[[], bool]) -> None:
    if stop_asked():
        raise StoppedError("stopped; the same command goes on, and an earlier backup is as it was")
