"""``verify``: reads every record and every image of the gallery, as `python -m index.verify`, and changes nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from index.embedded.data_folder import DATABASE, SNAPSHOT
from index.embedded.gallery_check import FolderFindings, check_folder
from index.gallery.errors import GalleryError
from index.gallery.verification import named_records
from service.jobs.background import Background
from service.jobs.kind import JobParameters, Kind
from service.jobs.phased_progress import PhasedProgress, gallery_size
from service.jobs.running_job import JobInterrupted, RunningJob

_REPAIR: Final = (
    "stop the service and run python -m index.verify --repair with its data folder: it mends what can be mended and "
    "names what has to be enrolled again. A damaged or missing image comes back, without a stop, when the same file "
    "is enrolled again"
)


class VerifyParameters(JobParameters):
    """``POST /jobs``: what `python -m index.verify` does without ``--repair``."""

    kind: Literal["verify"]


class Verify(Kind[VerifyParameters]):
    """Finds every damage; each is a rejection of the job, which is done nevertheless. A restart begins again."""

    name: ClassVar[str] = "verify"
    parameters = VerifyParameters

    def __init__(self, data_dir: Path, background: Background) -> None:
        self._data_dir, self._background = data_dir, background

    def run(self, job: RunningJob, parameters: VerifyParameters) -> dict[str, Any]:  # noqa: ARG002
        """Reads everything, and then says at once what it has found."""
        if job.report is not None:  # the process ended behind the last step
            return job.report
        try:
            num_records, num_images = gallery_size(self._data_dir)
        except GalleryError:  # which is found and said again
            num_records, num_images = 0, 1
        progress = PhasedProgress(job, self._background, {"images": num_images, "records": num_records})
        found = check_folder(self._data_dir, progress, lambda: job.is_interrupted)
        if found.gallery.stopped or job.is_interrupted:
            raise JobInterrupted
        for name, problem in _damage(found, self._data_dir):
            job.reject(None, name, problem)
        report = {
            "sound": found.sound,
            "records": found.gallery.num_records,
            "images": found.gallery.num_images,
            "num_damaged": found.num_damaged,
            "stray_images": len(found.gallery.strays),
            "unfinished_images": len(found.unfinished),
            "num_foreign_files": len(found.foreign),
            "repair": None if found.sound else _REPAIR,
        }
        job.advance(job.num_total, report=report)
        return report


def _damage(found: FolderFindings, data_dir: Path) -> Iterator[tuple[str, str]]:
    """The name of each damaged thing, files as paths below the data folder, and what is wrong with it."""
    for problem in found.database_problems:
        yield DATABASE, problem
    for record in found.gallery.damaged_records:
        yield record.source or record.id, f"damaged record {record}"
    for image in found.gallery.lost_images:
        yield _image(image.content), f"it is {image.problem}, and named by {named_records(image.records)}"
    for content in found.gallery.damaged_strays:
        yield _image(content), "it is damaged, and no record names it"
    for path in found.trash:
        yield str(path.relative_to(data_dir)), "it is damaged"
    for problem in found.snapshot:
        yield SNAPSHOT, problem


def _image(content: str) -> str:
    return f"images/{content[:2]}/{content}"
