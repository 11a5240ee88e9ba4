"""A folder of images as a manifest of the job's own: an import that goes on after a restart finds the same list."""

import csv
import json
from pathlib import Path
from typing import Final, NamedTuple

from index.datasets.manifest import ManifestError
from model.file_type import identify
from model.image import ImageError
from model.whole_file import whole_file
from service.jobs.errors import UnusableDataError
from service.jobs.import_root import ImportRoot, Listed
from service.jobs.running_job import RunningJob

_HEAD_BYTES: Final = 256
_NAMES_SHOWN: Final = 5


class Listing(NamedTuple):
    """A manifest, the folder from which its paths start, and what was left out of it, in words."""

    path: Path
    folder: Path
    warnings: list[str]


def list_images(job: RunningJob, root: ImportRoot, path: Path, *, identity_from_folder: bool) -> Listing:
    """The images at a path: one, or all in a folder and below; those listed when the job began.

    Links and devices are rejected; files in no format that is read are left out with a warning.

    Raises:
        JobInterrupted: the job has to end.
        ManifestError: there is no image.
        UnusableDataError: the folder cannot be read.
    """
    folder = path if root.is_folder(path) else path.parent
    listing, about = job.folder / "listing.csv", job.folder / "listing-warnings.json"
    if job.cursor is not None and listing.exists() and about.exists():
        return Listing(listing, folder, json.loads(about.read_text("utf-8")))
    listed = root.walk(path) if folder == path else iter([Listed(path.name, None)])
    num_images, num_others = 0, 0
    others: list[str] = []
    with whole_file(listing) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        # Everything is quoted, because a lone carriage return would end a line for who reads it.
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(["path", "identity"])
        for name, problem in listed:
            job.raise_if_interrupted()
            problem = problem or _problem_of_name(name)
            if problem is None and not is_image(root, folder / name):
                num_others += 1
                others = [*others, name.encode("utf-8", "backslashreplace").decode()][:_NAMES_SHOWN]
            elif problem is None:
                parent = (folder / name).parent.name
                writer.writerow([name, parent if identity_from_folder else ""])
                num_images += 1
            else:
                job.reject(None, name, problem)
    warnings = []
    if num_others:
        more = "" if num_others == len(others) else f" and {num_others - len(others)} more"
        warnings.append(f"files in no format that is read, left out: {num_others} ({', '.join(others)}{more})")
    if not num_images:
        job.advance()  # what was rejected says why
        raise ManifestError(
            "; ".join([f"there is neither a manifest.csv nor an image in {folder.name} or below", *warnings])
        )
    with whole_file(about) as temporary:
        temporary.write_text(json.dumps(warnings), "utf-8")
    return Listing(listing, folder, warnings)


def is_image(root: ImportRoot, path: Path) -> bool:
    """Whether a file begins as one of the formats that are read; one that cannot be opened does not."""
    try:
        identify(root.read_head(path, _HEAD_BYTES))
    except (ImageError, UnusableDataError):
        return False
    return True


def _problem_of_name(name: str) -> str | None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is not in UTF-8: rename it"
    return None
