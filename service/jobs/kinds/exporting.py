"""``export``: the gallery as Parquet and images, into a new folder below the export root."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from pydantic import Field

from index.embedded.backup.backing_up import StoppedError
from index.embedded.backup.staged_folder import is_free
from index.gallery.errors import GalleryError, GalleryFullError
from service.jobs.background import Background
from service.jobs.errors import UnusableDataError
from service.jobs.export_root import ExportRoot, require_export_root
from service.jobs.kind import JobParameters, Kind
from service.jobs.phased_progress import PhasedProgress, gallery_size
from service.jobs.running_job import JobInterrupted, RunningJob

if TYPE_CHECKING:
    from index.gallery.parquet_export import ExportOutcome

_BEGUN: Final = "begun"


class ExportParameters(JobParameters):
    """``POST /jobs``: what `python -m index.parquet export` does."""

    kind: Literal["export"]
    path: str = Field(
        min_length=1,
        max_length=4096,
        description="a new or an empty folder: relative to SANET_EXPORT_ROOT, or absolute and below it",
    )
    compression: Literal["zstd", "none"] = Field("zstd", description="of the Parquet files")


class Export(Kind[ExportParameters]):
    """Writes the gallery as it is at one moment; the folder appears when it is complete. A restart begins again."""

    name: ClassVar[str] = "export"
    parameters = ExportParameters

    def __init__(self, root: ExportRoot | None, data_dir: Path, background: Background) -> None:
        self._root, self._data_dir, self._background = root, data_dir, background

    def check(self, parameters: ExportParameters) -> None:
        """The path leads to a folder that is absent or empty."""
        _require_free(parameters, require_export_root(self._root).folder_at(parameters.path))

    def run(self, job: RunningJob, parameters: ExportParameters) -> dict[str, Any]:
        """Exports; what had to be left out is rejected."""
        # Arrow's libraries are for this job alone: a service starts sooner without them.
        from index.gallery.parquet_export import ExportOutcome

        if job.report is not None:  # the process ended behind the last step
            return job.report
        out = require_export_root(self._root).folder_at(parameters.path)
        if job.cursor == _BEGUN and not is_free(out):  # the process ended when the folder had just appeared
            outcome = ExportOutcome.read(out)
        else:
            _require_free(parameters, out)
            job.advance(cursor=_BEGUN)
            outcome = self._export(job, out, parameters)
        for id_, source in outcome.damaged_records:
            job.reject(None, source or id_, f"the record {id_} is damaged in the gallery, and was left out")
        for content, problem in outcome.lost_images.items():
            job.reject(None, content, problem)
        report = outcome.to_dict() | {"out": str(parameters.path)}
        report["parquet_files"] = report.pop("files")  # files are those that can be downloaded from a job
        report["num_damaged_records"] = len(report.pop("damaged_records"))
        report["num_lost_images"] = len(report.pop("lost_images"))
        job.advance(job.num_total, report=report)
        return report

    def _export(self, job: RunningJob, out: Path, parameters: ExportParameters) -> "ExportOutcome":
        from index.embedded.backup.parquet_folder import export_folder

        num_records, num_images = gallery_size(self._data_dir)
        progress = PhasedProgress(job, self._background, {"records": num_records, "images": num_images})
        try:
            return export_folder(
                self._data_dir, out, parameters.compression, progress, stop_asked=lambda: job.is_interrupted
            )
        except StoppedError:
            raise JobInterrupted from None
        except GalleryFullError:
            raise GalleryError(
                f"there is no room for the export {parameters.path!r}, and nothing was exported: free space, and "
                "create the job again"
            ) from None


def _require_free(parameters: ExportParameters, out: Path) -> None:
    if not is_free(out):
        raise UnusableDataError(f"{parameters.path!r} is not empty: name another folder")
