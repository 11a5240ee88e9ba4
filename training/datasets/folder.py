"""A folder per identity: what people have at home."""

from pathlib import Path
from typing import Final

from index.datasets.image_folder import find_images
from index.datasets.manifest import Entry, Manifest, ManifestError
from index.datasets.protocol import Protocol
from index.datasets.task import one_gallery_image
from model.image import FORMATS

_SPLITS: Final = ("train", "val", "test")
_ROLES: Final = ("train", "query", "gallery", "distractor", "junk")


def read_folder(folder: Path) -> Manifest:
    """``<identity>/<image>``, below optional folders for a split and for a role: ``test/query/0001/a.jpg``.

    Splits are train, val and test; roles are train, query, gallery, distractor and junk. Which files count, and what
    the manifest's warnings name, says `index.datasets.image_folder.find_images`.

    Raises:
        ManifestError: there is no image below the folder, or one that lies in no identity's folder.
    """
    try:
        found = find_images(folder)
    except OSError as error:
        raise ManifestError(f"{folder} cannot be read as a folder per identity: {error}") from None
    entries = []
    for path in found.images:
        *folders, _ = path.split("/")
        split = folders.pop(0) if folders and folders[0] in _SPLITS else ""
        role = folders.pop(0) if folders and folders[0] in _ROLES else "train" if split == "train" else None
        if len(folders) != 1 and role not in ("distractor", "junk"):
            expected = f"{folder}/[split/][role/]<identity>/<image>"
            raise ManifestError(f"{folder / path} lies in no identity's folder: expected {expected}")
        entries.append(Entry(path, "/".join(folders), role=role, split=split))  # type: ignore[arg-type]
    if not entries:
        reasons = "".join(f"; {warning}" for warning in found.warnings)
        raise ManifestError(
            f"{folder} has neither a manifest.csv nor images ({', '.join(FORMATS)}) in a folder per identity{reasons}"
        )
    given = [entry for entry in entries if entry.role is not None or not entry.split]
    for name in ("val", "test"):
        given += one_gallery_image([entry for entry in entries if entry.role is None and entry.split == name])
    return Manifest(folder, tuple(given), Protocol(dataset=folder.resolve().name), tuple(found.warnings))
