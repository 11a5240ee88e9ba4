"""What a path below the import root means: a manifest, a folder of images, or one image, as lines with vehicles."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple, Self

from pydantic import BaseModel

from index.datasets.manifest import Entry, ManifestError, ManifestLines
from index.gallery.entry_fields import columns_not_kept
from service.jobs.errors import NotConfiguredError, UnusableDataError
from service.jobs.import_root import ImportRoot
from service.jobs.kinds.import_listing import is_image, list_images
from service.jobs.running_job import RunningJob

_CHECKED_AT_ONCE: Final = 1000


class LinesCursor(BaseModel):
    """Where a job stands that checks all lines, and then takes the vehicles of those that it wants.

    Attributes:
        data: the state of the manifest's file when the job began (`ImportRoot.state_of`); empty before.
        line: the last one whose check is stored.
        is_checked: whether all lines are.
        num_unusable: lines that are no entries.
        num_entries: entries used or rejected since, in the order of `embed_in_chunks`.
    """

    data: list[int] = []
    line: int = 0
    is_checked: bool = False
    num_unusable: int = 0
    num_entries: int = 0


class Checked(NamedTuple):
    """How many lines the job wants or rejects, and which of their columns hold what no record keeps."""

    num_total: int
    columns_not_kept: list[str]


@dataclass(frozen=True)
class VehicleLines:
    """The lines of a manifest, or of a listing of images that the job has made: the same after a restart.

    Attributes:
        root: below which everything lies.
        name: the path as it was given.
        lines: of the manifest.
        folder: from which their paths start.
        state: of the manifest's file; another one has another state.
        warnings: what was left out of a listing, in words.
        is_wanted: which entries the job takes.
    """

    root: ImportRoot
    name: str
    lines: ManifestLines
    folder: Path
    state: list[int]
    warnings: list[str]
    is_wanted: Callable[[Entry], bool]

    @classmethod
    def open(
        cls,
        job: RunningJob,
        root: ImportRoot,
        name: str,
        is_wanted: Callable[[Entry], bool],
        *,
        identity_from_folder: bool,
    ) -> Self:
        """Finds out what lies at the path; a folder without a manifest is listed, or was when the job began.

        Raises:
            JobInterrupted: the job has to end.
            ManifestError: there is no image.
            UnusableDataError: the path cannot be read.
        """
        path = root.path_below(name)
        manifest = _manifest_at(root, path)
        if manifest is None:
            listing = list_images(job, root, path, identity_from_folder=identity_from_folder)
            lines = ManifestLines(listing.path)
            return cls(root, name, lines, listing.folder, [0, 0], listing.warnings, is_wanted)
        lines = ManifestLines(manifest, opener=root.open)
        return cls(root, name, lines, manifest.parent, root.state_of(manifest), [], is_wanted)

    def entries(self) -> Iterator[Entry]:
        """The entries that the job wants, in the order of the file."""
        return (line for line in self.lines if isinstance(line, Entry) and self.is_wanted(line))

    def read(self, entry: Entry, max_bytes: int) -> bytes:
        """The bytes of an entry's image file.

        Raises:
            UnusableDataError: it does not lie below the root, cannot be read, or has more bytes.
        """
        return self.root.read(self.root.path_below(entry.path, self.folder), max_bytes)

    def check(self, job: RunningJob, cursor: LinesCursor) -> Checked:
        """Rejects the lines that are no entries, and counts those that the job wants; the cursor keeps step.

        Raises:
            JobInterrupted: the job has to end.
            ManifestError: the file cannot be read, or has a column that no record can keep.
        """
        num_entries = 0
        not_kept: set[str] = set()
        lines = iter(self.lines)
        while chunk := list(islice(lines, _CHECKED_AT_ONCE)):
            entries = [line for line in chunk if isinstance(line, Entry) and self.is_wanted(line)]
            num_entries += len(entries)
            not_kept.update(columns_not_kept(entries))
            unusable = [line for line in chunk if not isinstance(line, Entry) and line.line > cursor.line]
            for line in unusable:
                job.reject(line.line, line.path, line.reason)
            if unusable:
                cursor.num_unusable += len(unusable)
                cursor.line = unusable[-1].line
                job.advance(cursor.num_unusable, cursor=cursor.model_dump())
            job.raise_if_interrupted()
        return Checked(num_entries + cursor.num_unusable, sorted(not_kept))


def check_path(root: ImportRoot, name: str, *, identity_from_folder: bool) -> None:
    """Returns if the path lies below the root, and a manifest there begins as one; quickly.

    Raises:
        UnusableDataError: it does not, or the identity is to come from folders where a manifest has it.
    """
    path = root.path_below(name)
    manifest = _manifest_at(root, path)
    if manifest is None:
        return
    if identity_from_folder:
        raise UnusableDataError(
            f"{name!r} is a manifest: its column identity says who is who. Leave out identity_from_folder"
        )
    try:
        next(iter(ManifestLines(manifest, opener=root.open)))
    except ManifestError as error:
        raise UnusableDataError(str(error)) from None


def require_root(root: ImportRoot | None) -> ImportRoot:
    """The root, if the service has one.

    Raises:
        NotConfiguredError: it has none.
    """
    if root is None:
        raise NotConfiguredError(
            "this service reads no files of its own: set SANET_IMPORT_ROOT to the folder that jobs may read"
        )
    return root


def _manifest_at(root: ImportRoot, path: Path) -> Path | None:
    """The manifest that a path means, as for `python -m index.build`: one in its folder, or a file that is no image."""
    if root.is_folder(path):
        manifest = path / "manifest.csv"
        return manifest if os.path.lexists(manifest) else None
    return None if path.suffix.lower() != ".csv" and is_image(root, path) else path
