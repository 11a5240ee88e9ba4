"""Whether the snapshot of a gallery's index is as it was written: every byte that it would give is read."""

from pathlib import Path

import xxhash

from index.embedded.snapshot.array_file import DamagedFileError
from index.embedded.snapshot.folder import SnapshotFolder
from index.embedded.snapshot.manifest import Manifest

_READ_BYTES = 1 << 20


def snapshot_problems(folder: Path) -> list[str]:
    """What is wrong with a snapshot, which a service may be replacing meanwhile; empty if there is none."""
    while True:
        try:
            manifest = SnapshotFolder(folder).read_manifest()
            if manifest is None:
                return []
            problems = _problems(folder, manifest)
            # The files of a snapshot are removed when a newer one has replaced it.
            if not problems or SnapshotFolder(folder).read_manifest() == manifest:
                return problems
        except DamagedFileError as error:
            return [str(error)]


def _problems(folder: Path, manifest: Manifest) -> list[str]:
    checksums = {piece.name: piece.checksum for block in manifest.blocks for piece in block.pieces}
    if manifest.folding is not None:
        checksums[manifest.folding.name] = manifest.folding.checksum
    problems = []
    for name, checksum in sorted(checksums.items()):
        path = folder / name
        try:
            if _xxh3_128(path) != checksum:
                problems.append(f"{path} does not have its checksum")
        except FileNotFoundError:
            problems.append(f"{path} is missing")
        except OSError as error:
            problems.append(f"{path} cannot be read: {error.strerror or error}")
    return problems


def _xxh3_128(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            digest.update(data)
    return digest.hexdigest()
