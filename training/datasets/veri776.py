"""VeRi-776 (Liu et al. 2016): 20 cameras; same vehicle and same camera is removed."""

import re
from pathlib import Path
from typing import Final

from index.datasets.manifest import Entry, Manifest, ManifestError, Role
from index.datasets.protocol import Protocol
from training.datasets.dataset import Choices, DataSet, Published
from training.datasets.label_list import IMAGE_SUFFIXES, require

_FOLDERS: Final[tuple[tuple[str, str, Role], ...]] = (
    ("image_train", "train", "train"),
    ("image_query", "test", "query"),
    ("image_test", "test", "gallery"),
)
_NAME: Final = re.compile(r"(\d+)_c(\d{3})_.*")


def read(folder: Path, _: Choices) -> Manifest:
    """Reads the three folders; identity and camera stand in the names (``0002_c002_00030600_0.jpg``).

    Raises:
        ManifestError: a folder is missing, or a name is of another form.
    """
    require(folder, *(name for name, *_ in _FOLDERS))
    entries = []
    for name, split, role in _FOLDERS:
        for path in sorted(path for path in (folder / name).iterdir() if path.suffix.lower() in IMAGE_SUFFIXES):
            match = _NAME.fullmatch(path.stem)
            if match is None:
                raise ManifestError(f"{path}: expected a name such as 0002_c002_00030600_0.jpg")
            entries.append(Entry(f"{name}/{path.name}", str(int(match[1])), match[2], role, split))
    return Manifest(folder, tuple(entries), Protocol(dataset="veri776", camera_rule="same_camera"))


VERI776: Final = DataSet(
    "veri776",
    ("image_query",),
    read,
    {
        ("train", "train"): Published(37_778, 576),
        ("test", "query"): Published(1_678, 200),
        ("test", "gallery"): Published(11_579, 200),
    },
)
