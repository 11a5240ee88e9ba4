"""Market-1501 (Zheng et al. 2015): persons, but the field's common ground; junk and distractors stand in the names."""

import re
from pathlib import Path
from typing import Final

from index.datasets.manifest import Entry, Manifest, ManifestError, Role
from index.datasets.protocol import Protocol
from training.datasets.dataset import Choices, DataSet, Published
from training.datasets.label_list import IMAGE_SUFFIXES, require

_FOLDERS: Final[tuple[tuple[str, str, Role], ...]] = (
    ("bounding_box_train", "train", "train"),
    ("query", "test", "query"),
    ("bounding_box_test", "test", "gallery"),
)
_NAME: Final = re.compile(r"(-1|\d+)_c(\d)s?.*")


def read(folder: Path, _: Choices) -> Manifest:
    """Reads the three folders (``0002_c1s1_000451_03.jpg``): -1 is junk, 0 a distractor, which stays in the gallery.

    Raises:
        ManifestError: a folder is missing, or a name is of another form.
    """
    require(folder, *(name for name, *_ in _FOLDERS))
    entries = []
    for name, split, role in _FOLDERS:
        for path in sorted(path for path in (folder / name).iterdir() if path.suffix.lower() in IMAGE_SUFFIXES):
            match = _NAME.fullmatch(path.stem)
            if match is None:
                raise ManifestError(f"{path}: expected a name such as 0002_c1s1_000451_03.jpg")
            number = int(match[1])
            entries.append(
                Entry(
                    f"{name}/{path.name}",
                    str(number) if number > 0 else "",
                    match[2],
                    "junk" if number < 0 else "distractor" if number == 0 else role,
                    split,
                )
            )
    return Manifest(folder, tuple(entries), Protocol(dataset="market1501", camera_rule="same_camera"))


MARKET1501: Final = DataSet(
    "market1501",
    ("bounding_box_test",),
    read,
    {
        ("train", "train"): Published(12_936, 751),
        ("test", "query"): Published(3_368, 750),
        ("test", "gallery"): Published(13_115, 750),
        ("test", "distractor"): Published(2_798, None),
        ("test", "junk"): Published(3_819, None),
    },
)
