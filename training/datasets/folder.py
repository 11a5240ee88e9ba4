"""A folder per identity: what people have at home."""

from pathlib import Path
from typing import Final

from index.manifest import Entry, Manifest, ManifestError
from index.protocol import Protocol
from index.task import one_gallery_image
from model.image import FORMATS

_SUFFIXES: Final = {".jpg", ".jpeg", ".png", ".webp"}
_SPLITS: Final = ("train", "val", "test")
_ROLES: Final = ("train", "query", "gallery", "distractor", "junk")


def read_folder(folder: Path) -> Manifest:
    """``<identity>/<image>``, below optional folders for a split and for a role: ``test/query/0001/a.jpg``.

    Splits are train, val and test; roles are train, query, gallery, distractor and junk.

    Raises:
        ManifestError: there is no image below the folder, or one that lies in no identity's folder.
    """
    entries = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES):
        *folders, _ = parts = path.relative_to(folder).parts
        split = folders.pop(0) if folders and folders[0] in _SPLITS else ""
        role = folders.pop(0) if folders and folders[0] in _ROLES else "train" if split == "train" else None
        if len(folders) != 1 and role not in ("distractor", "junk"):
            expected = f"{folder}/[split/][role/]<identity>/<image>"
            raise ManifestError(f"{path} lies in no identity's folder: expected {expected}")
        entries.append(Entry("/".join(parts), "/".join(folders), role=role, split=split))  # type: ignore[arg-type]
    if not entries:
        raise ManifestError(
            f"{folder} has neither a manifest.csv nor images ({', '.join(FORMATS)}) in a folder per identity"
        )
    given = [entry for entry in entries if entry.role is not None or not entry.split]
    for name in ("val", "test"):
        given += one_gallery_image([entry for entry in entries if entry.role is None and entry.split == name])
    return Manifest(folder, tuple(given), Protocol(dataset=folder.resolve().name))
