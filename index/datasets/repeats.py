"""The same vehicle in the same image on several lines: lists that were joined, or exports that overlap."""

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

from index.datasets.manifest import Entry, Manifest, ManifestError, form_on_disk
from model.box import Box


def image_key(folder: Path) -> Callable[[Entry], tuple[str, Box | None]]:
    """A function from an entry to its file and box: the same however the path below `folder` is written.

    That is with ``.`` and ``..``, absolute, in either of Unicode's forms, or through links to folders and files.
    """
    start = str(folder.absolute())
    real_folder = cache(os.path.realpath)

    def file_of(path: str) -> str:
        # With strings instead of Path, because it is done a million times.
        path = form_on_disk(os.path.join(start, path))  # noqa: PTH118
        lies_in, name = os.path.split(path)
        path = os.path.join(real_folder(lies_in), name)  # noqa: PTH118
        return os.path.realpath(path) if os.path.islink(path) else os.path.normpath(path)  # noqa: PTH114

    return lambda entry: (file_of(entry.path), entry.box)


def without_repeats(manifest: Manifest) -> Manifest:
    """The manifest with each line once; a warning counts the lines that were left out.

    A line repeats another if file, box, split, role, identity and camera are the same. Where chance drew one of them
    (the column ``draws``), it drew the image.
    """
    key_of = image_key(manifest.folder)
    first: dict[object, Entry] = {}
    for entry in manifest.entries:
        key = (*key_of(entry), entry.split, entry.role, entry.identity, entry.camera)
        kept = first.setdefault(key, entry)
        if kept is not entry and entry.further.get("draws"):
            draws = f"{kept.further.get('draws', '')} {entry.further['draws']}".split()
            first[key] = replace(kept, further={**kept.further, "draws": " ".join(dict.fromkeys(draws))})
    num_repeats = len(manifest.entries) - len(first)
    if not num_repeats:
        return manifest
    same = "the same image, box, split, role, identity and camera"
    warning = f"lines that repeat another ({same}), left out: {num_repeats}"
    return replace(manifest, entries=tuple(first.values()), warnings=(*manifest.warnings, warning))


def require_one_vehicle(folder: Path, entries: Iterable[Entry]) -> None:
    """Checks that no image and box is said to be two vehicles, or to have been seen by two cameras.

    Nor may it be both counted and not: junk is left out of every ranking, a distractor is nobody's match. But a query
    may lie in the gallery too: some published sets have it so, because the rule same_camera removes it there.

    Raises:
        ManifestError: with both lines and values.
    """
    key_of = image_key(folder)
    first: dict[object, Entry] = {}
    for entry in entries:
        other = first.setdefault(key_of(entry), entry)
        for column in ("identity", "camera", "role"):
            one, two = other.column(column), entry.column(column)
            finds_itself = column == "role" and {one, two} == {"query", "gallery"}
            if one != two and not finds_itself:
                at_box = f" at {entry.box}" if entry.box else ""
                raise ManifestError(
                    f"{other.place} and {entry.place} are one vehicle, the same image{at_box}, but its {column} is "
                    f"{one or 'empty'!r} on one line and {two or 'empty'!r} on the other: say which is right"
                )
