"""The data of a setting: UAV-Synth, or another manifest, with fewer identities."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from index.datasets.manifest import Entry, ManifestError, read_manifest, write_manifest


def with_fewer_identities(data: Path, num_identities: int, num_tested: int | None, out: Path) -> Path:
    """Writes a manifest of the same images with fewer identities, the same ones at every call.

    Args:
        data: a manifest, or a folder with one, whose training images have the role train.
        num_identities: how many of those that train are kept.
        num_tested: how many of all others are kept; None keeps all.
        out: the ``.csv`` to write.

    Returns:
        `out`.

    Raises:
        ManifestError: there are not so many, or the manifest cannot be read.
    """
    manifest = read_manifest(data)
    trained = {entry.identity for entry in manifest.entries if entry.role == "train"} - {""}
    kept = _draw(data, "of the role train", trained, num_identities)
    if num_tested is not None:
        tested = {entry.identity for entry in manifest.entries if _is_tested(entry)} - {""}
        kept |= _draw(data, "of the split test", tested, num_tested)
    start = Path(os.path.relpath(manifest.folder.resolve(), out.resolve().parent))
    entries = [
        replace(entry, path=(start / entry.path).as_posix())
        for entry in manifest.entries
        if entry.identity in kept or (num_tested is None and entry.role != "train")
    ]
    name = f"{manifest.protocol.dataset}, {num_identities} training identities"
    write_manifest(out, entries, replace(manifest.protocol, dataset=name))
    return out


def _is_tested(entry: Entry) -> bool:
    return entry.role in ("query", "gallery") and entry.split in ("", "test")


def _draw(data: Path, which: str, identities: set[str], number: int) -> set[str]:
    if len(identities) < number:
        raise ManifestError(f"{data} has {len(identities)} identities {which}, the setting takes {number}")
    drawn: list[str] = np.random.default_rng(0).permutation(sorted(identities))[:number].tolist()
    return set(drawn)
