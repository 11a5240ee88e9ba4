"""Everything in a gallery's folder, verified: the policy's findings, and what the folder and SQLite add to them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from index.embedded.data_folder import DATABASE, SNAPSHOT
from index.embedded.generation import current_folder, other_generations
from index.embedded.images.image_reader import ImageReader
from index.embedded.records.database_check import database_problems, log_problem
from index.embedded.records.record_reader import RecordReader
from index.embedded.snapshot.snapshot_check import snapshot_problems
from index.gallery.errors import GalleryError
from index.gallery.record import Record
from index.gallery.verification import Findings, Progress, RowDescription, verify_gallery

_LOOKS: Final = 4
_BETWEEN_LOOKS_S: Final = 0.1


@dataclass
class FolderFindings:
    """What a verification of a folder has found.

    Attributes:
        gallery: of records and images.
        database: problems of the database as a file.
        trash: damaged files in the trash.
        snapshot: problems of the index's snapshot, which is derived and may go.
        unfinished, foreign: files that are no damage: what a crash left, and what nobody's program put there.
        other_generations: no damage either: records that another model embeds or embedded, and that do not serve.
    """

    gallery: Findings
    database: list[str] = field(default_factory=list)
    trash: list[Path] = field(default_factory=list)
    snapshot: list[str] = field(default_factory=list)
    unfinished: list[Path] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)
    other_generations: list[Path] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether no damage was found."""
        return self.gallery.sound and not (self.database or self.trash or self.snapshot)

    @property
    def database_problems(self) -> list[str]:
        """What is wrong with the database: as a file, and that its records could not be read to their end."""
        return [*self.database, *([self.gallery.unreadable] if self.gallery.unreadable else [])]

    @property
    def num_damaged(self) -> dict[str, int]:
        """How much damage of each kind was found, as `python -m index.verify --json` prints it."""
        return {
            "database": len(self.database_problems),
            "records": len(self.gallery.damaged_records),
            "images": len(self.gallery.lost_images),
            "stray_images": len(self.gallery.damaged_strays),
            "trash": len(self.trash),
            "snapshot": len(self.snapshot),
        }


def check_folder(data_dir: Path, progress: Progress, stop_asked: Callable[[], bool]) -> FolderFindings:
    """Verifies a data folder, which a service may have open. Changes nothing.

    Raises:
        GalleryError: the folder cannot be read.
    """
    files = ImageReader(data_dir)
    folder = current_folder(data_dir)
    database = folder / DATABASE
    problem = _lasting_log_problem(database)
    problems = [problem] if problem else []
    try:
        with RecordReader(database) as reader:
            problems += database_problems(reader.connection, reader.layout, stop_asked)
            findings = verify_gallery(reader, files, progress, stop_asked)
    except GalleryError as error:
        findings = verify_gallery(_Unreadable(error), files, progress, stop_asked)
    return FolderFindings(
        gallery=findings,
        database=problems,
        trash=files.damaged_in_trash(),
        snapshot=snapshot_problems(folder / SNAPSHOT),
        unfinished=files.unfinished(),
        foreign=files.foreign(),
        other_generations=other_generations(data_dir),
    )


def _lasting_log_problem(database: Path) -> str | None:
    """What looks like damage may be a write under way, of a writer that gets no time: it is believed if it lasts."""
    problem = log_problem(database)
    for _ in range(_LOOKS):
        if problem is None:
            break
        time.sleep(_BETWEEN_LOOKS_S)
        problem = log_problem(database)
    return problem


class _Unreadable:
    """The records of a database that cannot be opened: the images are verified all the same."""

    def __init__(self, error: GalleryError) -> None:
        self._error = error

    def num_records(self) -> int:
        raise self._error

    def seqs_after(self, seq: int, limit: int) -> list[int]:  # noqa: ARG002
        raise self._error

    def records_at(self, seqs: Sequence[int]) -> dict[int, Record]:  # noqa: ARG002
        raise self._error

    def describe(self, seqs: Sequence[int]) -> dict[int, RowDescription]:  # noqa: ARG002
        raise self._error
