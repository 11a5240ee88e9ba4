"""From a path to a manifest, whatever lies there."""

from pathlib import Path
from typing import Final

from index.datasets.manifest import Manifest, ManifestError, read_manifest
from training.datasets.dataset import Choices
from training.datasets.folder import read_folder
from training.datasets.registry import DATASETS

KINDS: Final = (*DATASETS, "folder", "manifest")
"""What ``--dataset`` takes, besides ``auto``."""


def open_data(path: Path, kind: str = "auto", choices: Choices | None = None) -> Manifest:
    """Reads a data set: one of the field's, a folder per identity, or a manifest.

    Args:
        path: a file, or a folder.
        kind: one of `KINDS`; ``auto`` looks what is there.
        choices: what the data set's protocol leaves open.

    Raises:
        ManifestError: it is not what it should be; the message says what was looked for.
        ProtocolError: a sidecar cannot be used.
    """
    if not path.exists():
        raise ManifestError(f"there is nothing at {path}: expected a manifest or a folder")
    kind = detect(path) if kind == "auto" else kind
    if kind in DATASETS:
        return DATASETS[kind].read(path, choices or Choices())
    if kind == "folder":
        return read_folder(path)
    return read_manifest(path)


def detect(path: Path) -> str:
    """Which of `KINDS` lies at a path: a manifest goes before all, a folder per identity is the last guess.

    Raises:
        ManifestError: it looks like several data sets.
    """
    if not path.is_dir() or (path / "manifest.csv").is_file():
        return "manifest"
    found = [dataset.name for dataset in DATASETS.values() if dataset.lies_in(path)]
    if len(found) > 1:
        raise ManifestError(f"{path} looks like {' and '.join(found)}: choose one with --dataset")
    return found[0] if found else "folder"
