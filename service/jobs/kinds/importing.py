"""``import``: enrols a manifest, a folder of images or one image from below the import root."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, Field

from index.datasets.manifest import Entry, ManifestError, ManifestLines
from index.gallery.answers import Enrolled
from index.gallery.bulk_enrolment import Outcome, enrol_in_chunks, is_enrollable
from index.gallery.enrolment import Enrolment
from index.gallery.entry_fields import columns_not_kept
from index.gallery.gallery import Gallery
from model.preprocessing import Preprocessing
from service.jobs.background import Background
from service.jobs.errors import NotConfiguredError, UnusableDataError
from service.jobs.import_root import ImportRoot
from service.jobs.kind import JobParameters, Kind
from service.jobs.kinds.import_listing import is_image, list_images
from service.jobs.running_job import JobInterrupted, RunningJob

_CHECKED_AT_ONCE: Final = 1000
_WARNINGS_SHOWN: Final = 20


class ImportParameters(JobParameters):
    """``POST /jobs``: enrols what `POST /gallery` would, from the service's own disk."""

    kind: Literal["import"]
    path: str = Field(
        min_length=1,
        max_length=4096,
        description="a manifest, a folder with a manifest.csv or of images, or an image: relative to "
        "SANET_IMPORT_ROOT, or absolute and below it",
    )
    identity_from_folder: bool = Field(
        False, strict=True, description="of images without a manifest: the folder that each lies in is its identity"
    )


class _Cursor(BaseModel):
    """Where an import stands.

    Attributes:
        data: the state of the manifest's file (`ImportRoot.state_of`).
        line: the last one whose check is stored.
        is_checked: whether all lines are.
        num_unusable: lines that are no entries.
        num_entries: entries enrolled or rejected since, in the order of enrolment.
        enrolling: ids of the records that are about to be enrolled, and that the gallery did not have.
    """

    data: list[int]
    line: int = 0
    is_checked: bool = False
    num_unusable: int = 0
    num_entries: int = 0
    enrolling: list[str] = []


class _Report(BaseModel):
    """What came of an import so far."""

    enrolled: int = 0
    duplicates: int = 0
    differing: int = 0
    warnings: int = 0
    first_warnings: list[str] = []
    columns_not_kept: list[str] = []
    data_warnings: list[str] = []

    def add(self, outcome: Outcome) -> None:
        self.enrolled += outcome.enrolled
        self.duplicates += outcome.duplicates
        self.differing += outcome.differing
        self.warnings += len(outcome.warnings)
        room = _WARNINGS_SHOWN - len(self.first_warnings)
        self.first_warnings += [f"{entry.place}: {detail}" for entry, detail in outcome.warnings[:room]]


class Import(Kind[ImportParameters]):
    """Reads the manifest twice, line by line: first to check and count, then to enrol.

    What is rejected is listed and the import goes on. Enrolled is what this job has enrolled, also where the process
    ended between the gallery's commit and the job's own.
    """

    name: ClassVar[str] = "import"
    parameters = ImportParameters

    def __init__(
        self,
        root: ImportRoot | None,
        gallery: Gallery,
        preprocessing: Preprocessing,
        background: Background,
        max_file_bytes: int,
    ) -> None:
        self._root, self._gallery, self._preprocessing = root, gallery, preprocessing
        self._background, self._max_file_bytes = background, max_file_bytes

    def check(self, parameters: ImportParameters) -> None:
        """The path lies below the root, and a manifest there begins as one."""
        root = _require(self._root)
        path = root.path_below(parameters.path)
        manifest = _manifest_at(root, path)
        if manifest is None:
            return
        if parameters.identity_from_folder:
            raise UnusableDataError(
                f"{parameters.path!r} is a manifest: its column identity says who is who. Leave out "
                "identity_from_folder"
            )
        try:
            next(iter(ManifestLines(manifest, opener=root.open)))
        except ManifestError as error:
            raise UnusableDataError(str(error)) from None

    def run(self, job: RunningJob, parameters: ImportParameters) -> dict[str, Any]:
        """Checks and counts the lines, then enrols their vehicles."""
        root = _require(self._root)
        path = root.path_below(parameters.path)
        manifest = _manifest_at(root, path)
        if manifest is None:
            listing = list_images(job, root, path, identity_from_folder=parameters.identity_from_folder)
            lines, folder = ManifestLines(listing.path), listing.folder
            data, data_warnings = [0, 0], listing.warnings
        else:
            lines, folder = ManifestLines(manifest, opener=root.open), manifest.parent
            data, data_warnings = root.state_of(manifest), []
        cursor = _Cursor(data=data) if job.cursor is None else _Cursor.model_validate(job.cursor)
        report = _Report(data_warnings=data_warnings) if job.report is None else _Report.model_validate(job.report)
        if cursor.data != data:
            raise ManifestError(
                f"{parameters.path} was changed while it was imported: start the import again; what is enrolled stays"
            )
        if not cursor.is_checked:
            _check_lines(job, lines, cursor, report)
        self._enrol(job, root, folder, lines, cursor, report)
        return report.model_dump()

    def _enrol(
        self, job: RunningJob, root: ImportRoot, folder: Path, lines: ManifestLines, cursor: _Cursor, report: _Report
    ) -> None:
        def read_image(entry: Entry) -> bytes:
            self._background.give_way()
            return root.read(root.path_below(entry.path, folder), self._max_file_bytes)

        chunks = enrol_in_chunks(
            (line for line in lines if isinstance(line, Entry) and is_enrollable(line)),
            read_image,
            self._gallery,
            self._gallery.model,
            self._preprocessing,
            lambda images: self._background.embed(job, images),
            skip=cursor.num_entries,
            enrol=lambda enrolments: self._enrol_noted(job, cursor, enrolments),
            stop_asked=lambda: job.is_interrupted,
        )
        for outcome in chunks:
            if outcome.stopped:  # what of these entries is stored will be found there
                raise JobInterrupted
            for entry, detail in outcome.rejected:
                job.reject(entry.line, entry.path, detail, None if entry.box is None else str(entry.box))
            report.add(outcome)
            cursor.num_entries += outcome.num_entries
            cursor.enrolling = []
            num_done = cursor.num_unusable + cursor.num_entries
            job.advance(num_done, cursor=cursor.model_dump(), report=report.model_dump())
            job.raise_if_interrupted()

    def _enrol_noted(self, job: RunningJob, cursor: _Cursor, enrolments: Sequence[Enrolment]) -> list[Enrolled]:
        """Enrols, after noting which are new: if the process ends before it can say so, they count nevertheless."""
        ids = list(dict.fromkeys(enrolment.record.id for enrolment in enrolments))
        noted = set(cursor.enrolling)
        known = self._gallery.known(ids)
        cursor.enrolling = [id_ for id_ in ids if id_ not in known or id_ in noted]
        if cursor.enrolling:
            job.advance(cursor=cursor.model_dump())
        results = []
        for enrolled in self._gallery.enrol(enrolments):
            results.append(replace(enrolled, duplicate=enrolled.duplicate and enrolled.id not in noted))
            noted.discard(enrolled.id)  # once: the same vehicle on another line is a duplicate
        return results


def _require(root: ImportRoot | None) -> ImportRoot:
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


def _check_lines(job: RunningJob, lines: ManifestLines, cursor: _Cursor, report: _Report) -> None:
    """Rejects the lines that are no entries, counts all others, and finds out which columns are not kept."""
    num_entries = 0
    not_kept: set[str] = set()
    for chunk in _in_chunks(lines):
        entries = [line for line in chunk if isinstance(line, Entry) and is_enrollable(line)]
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
    num_total = num_entries + cursor.num_unusable
    if num_total == 0:
        raise ManifestError(f"{lines.path.name} has queries and junk only: a gallery is built from all other roles")
    cursor.is_checked = True
    report.columns_not_kept = sorted(not_kept)
    report.data_warnings += lines.warnings
    job.advance(cursor=cursor.model_dump(), report=report.model_dump(), num_total=num_total)


def _in_chunks(lines: ManifestLines) -> Iterator[list[Any]]:
    chunk = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == _CHECKED_AT_ONCE:
            yield chunk
            chunk = []
    yield chunk
