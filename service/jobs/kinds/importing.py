"""``import``: enrols a manifest, a folder of images or one image from below the import root."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, Field

from index.datasets.manifest import Entry, ManifestError
from index.gallery.answers import Enrolled
from index.gallery.bulk_enrolment import Outcome, enrol_in_chunks, is_enrollable
from index.gallery.enrolment import Enrolment
from index.gallery.gallery import Gallery
from model.preprocessing import Preprocessing
from service.jobs.background import Background
from service.jobs.import_root import ImportRoot
from service.jobs.kind import JobParameters, Kind
from service.jobs.kinds.vehicle_lines import LinesCursor, VehicleLines, check_path, require_root
from service.jobs.running_job import JobInterrupted, RunningJob

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


class _Cursor(LinesCursor):
    """Where an import stands.

    Attributes:
        enrolling: ids of the records that are about to be enrolled, and that the gallery did not have.
    """

    enrolling: list[str] = Field(default_factory=list)


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
        check_path(require_root(self._root), parameters.path, identity_from_folder=parameters.identity_from_folder)

    def run(self, job: RunningJob, parameters: ImportParameters) -> dict[str, Any]:
        """Checks and counts the lines, then enrols their vehicles."""
        vehicles = VehicleLines.open(
            job,
            require_root(self._root),
            parameters.path,
            is_enrollable,
            identity_from_folder=parameters.identity_from_folder,
        )
        cursor = _Cursor(data=vehicles.state) if job.cursor is None else _Cursor.model_validate(job.cursor)
        report = _Report(data_warnings=vehicles.warnings) if job.report is None else _Report.model_validate(job.report)
        if cursor.data != vehicles.state:
            raise ManifestError(
                f"{parameters.path} was changed while it was imported: start the import again; what is enrolled stays"
            )
        if not cursor.is_checked:
            _check(job, vehicles, cursor, report)
        self._enrol(job, vehicles, cursor, report)
        return report.model_dump()

    def _enrol(self, job: RunningJob, vehicles: VehicleLines, cursor: _Cursor, report: _Report) -> None:
        def read_image(entry: Entry) -> bytes:
            self._background.give_way()
            return vehicles.read(entry, self._max_file_bytes)

        chunks = enrol_in_chunks(
            vehicles.entries(),
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


def _check(job: RunningJob, vehicles: VehicleLines, cursor: _Cursor, report: _Report) -> None:
    """Rejects the lines that are no entries, counts all others, and finds out which columns are not kept."""
    checked = vehicles.check(job, cursor)
    if checked.num_total == 0:
        name = vehicles.lines.path.name
        raise ManifestError(f"{name} has queries and junk only: a gallery is built from all other roles")
    cursor.is_checked = True
    report.columns_not_kept = checked.columns_not_kept
    report.data_warnings += vehicles.lines.warnings
    job.advance(cursor=cursor.model_dump(), report=report.model_dump(), num_total=checked.num_total)
