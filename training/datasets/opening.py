"""From a path to a manifest, whatever lies there."""

from pathlib import Path
from typing import Final

from index.manifest import Manifest, ManifestError, read_manifest
from training.datasets.folder import read_folder


def _read_manifest(path: Path) -> Manifest:
    return read_manifest(path / "manifest.csv" if path.is_dir() else path)


DATASETS: Final = {"folder": read_folder, "manifest": _read_manifest}
"""Readers by the name that ``--dataset`` takes."""


def open_data(path: Path, dataset: str = "auto") -> Manifest:
    """Reads a data set: a manifest, a folder with a ``manifest.csv``, or a folder per identity.

    Args:
        path: a file or a folder.
        dataset: one of `DATASETS`; ``auto`` looks what is there.

    Raises:
        ManifestError: it is not what it should be; the message says what was looked for.
        ProtocolError: a sidecar cannot be used.
    """
    if not path.exists():
        raise ManifestError(f"there is nothing at {path}: expected a manifest or a folder")
    if dataset == "auto":
        dataset = "folder" if path.is_dir() and not (path / "manifest.csv").is_file() else "manifest"
    return DATASETS[dataset](path)
