"""What can be enrolled in bulk: a manifest, a folder of images, or one image."""

from pathlib import Path

from index.datasets.image_folder import find_images, is_image_file
from index.datasets.manifest import Entry, Manifest, ManifestError, UnusableLine, read_usable_lines
from index.datasets.protocol import Protocol


def open_enrolment_data(path: Path, *, identity_from_folder: bool = False) -> tuple[Manifest, list[UnusableLine]]:
    """The vehicles at a path, and the lines that are none.

    Args:
        path: a manifest, a folder with a ``manifest.csv``, a folder of images (each is a vehicle's crop), or an image.
        identity_from_folder: of images without a manifest, whether the folder that each lies in names its identity.

    Raises:
        ManifestError: none of these lies there, or the manifest cannot be used.
        ProtocolError: its sidecar cannot be used.
    """
    try:
        if path.is_dir() and not (path / "manifest.csv").is_file():
            return _manifest_of(path, identity_from_folder=identity_from_folder), []
        if path.is_file() and path.suffix.lower() != ".csv" and is_image_file(path):
            entry = Entry(path.name, path.resolve().parent.name if identity_from_folder else "")
            return Manifest(path.parent, (entry,), Protocol(dataset=path.stem)), []
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error}") from None
    if identity_from_folder and path.exists():
        raise ManifestError(f"{path} is a manifest: its column identity says who is who, not the images' folders")
    return read_usable_lines(path)


def _manifest_of(folder: Path, *, identity_from_folder: bool) -> Manifest:
    found = find_images(folder)
    if not found.images:
        reasons = "".join(f"; {warning}" for warning in found.warnings)
        raise ManifestError(f"{folder} has neither a manifest.csv nor an image in it or below{reasons}")
    name = folder.resolve().name
    entries = []
    for path in found.images:
        parent = path.rpartition("/")[0].rpartition("/")[2] or name
        entries.append(Entry(path, parent if identity_from_folder else ""))
    return Manifest(folder, tuple(entries), Protocol(dataset=name), tuple(found.warnings))
