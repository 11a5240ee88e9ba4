"""``backup``: an incremental backup of the gallery into a folder below the export root, as `python -m index.backup`."""

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from index.embedded.backup.backing_up import StoppedError, back_up
from index.embedded.backup.backup_folder import accepts_backup
from index.gallery.errors import GalleryError, GalleryFullError
from service.jobs.background import Background
from service.jobs.errors import UnusableDataError
from service.jobs.export_root import ExportRoot, require_export_root
from service.jobs.kind import JobParameters, Kind
from service.jobs.phased_progress import PhasedProgress, gallery_size
from service.jobs.running_job import JobInterrupted, RunningJob


class BackupParameters(JobParameters):
    """``POST /jobs``: what `python -m index.backup` does, while the service runs."""

    kind: Literal["backup"]
    path: str = Field(
        min_length=1,
        max_length=4096,
        description="a new folder, or that of an earlier backup, to which only what is new is copied: relative to "
        "SANET_EXPORT_ROOT, or absolute and below it",
    )
    check: bool = Field(
        False, strict=True, description="reads the images that are there already, and replaces damaged ones"
    )
    prune: bool = Field(False, strict=True, description="removes images that only earlier backups name")


class BackUp(Kind[BackupParameters]):
    """Copies the records as they are at one moment, then the images that they name and the backup lacks.

    Until its end the backup is the earlier one. A restart begins again, and keeps the images that it had copied.
    """

    name: ClassVar[str] = "backup"
    parameters = BackupParameters

    def __init__(self, root: ExportRoot | None, data_dir: Path, background: Background) -> None:
        self._root, self._data_dir, self._background = root, data_dir, background

    def check(self, parameters: BackupParameters) -> None:
        """The path leads to a folder that is absent, empty or a backup's."""
        out = require_export_root(self._root).folder_at(parameters.path)
        if not accepts_backup(out):
            raise UnusableDataError(f"{parameters.path!r} is neither empty nor a backup: name another folder")

    def run(self, job: RunningJob, parameters: BackupParameters) -> dict[str, Any]:
        """Backs up; what could not be backed up whole is rejected."""
        if job.report is not None:  # the process ended behind the last step
            return job.report
        root = require_export_root(self._root)
        out = root.folder_at(parameters.path)
        root.require_no_links(out)
        num_records, num_images = gallery_size(self._data_dir)
        # Each record is copied with the database, and then read and compared with its checksum.
        sizes = {"database": num_records, "records": num_records, "images": num_images}
        progress = PhasedProgress(job, self._background, sizes)
        try:
            outcome = back_up(
                self._data_dir,
                out,
                check=parameters.check,
                prune=parameters.prune,
                progress=progress,
                stop_asked=lambda: job.is_interrupted,
            )
        except StoppedError:
            raise JobInterrupted from None
        except GalleryFullError:
            raise GalleryError(
                f"there is no room for the backup {parameters.path!r}: free space, and create the job again; an "
                "earlier backup is as it was"
            ) from None
        for id_, source in outcome.damaged_records:
            job.reject(None, source or id_, f"the record {id_} is damaged in the gallery, and in the backup")
        for content, problem in outcome.lost_images.items():
            job.reject(None, content, problem)
        report = outcome.to_dict() | {"out": str(parameters.path)}
        report["num_damaged_records"] = len(report.pop("damaged_records"))
        report["num_lost_images"] = len(report.pop("lost_images"))
        job.advance(job.num_total, report=report)
        return report
