"""UAV-VeID (Teng et al. 2021): fixed split, one gallery image per identity, no cameras.

Two layouts are about: four ``*_label.txt`` beside the images, and ``UAV-labels/`` with three image folders. A third,
``{train,query,gallery}/<number>_<identity>.jpg``, has its labels in the names.
"""

import re
from pathlib import Path
from typing import Final

from index.datasets.manifest import Entry, Manifest, ManifestError, Role
from index.datasets.protocol import Protocol
from training.datasets.dataset import Choices, DataSet, Published
from training.datasets.label_list import IMAGE_SUFFIXES, ImageIndex, read_labels

# List, split, role, and the folder where its images lie if names repeat.
_LISTS: Final[tuple[tuple[str, str, Role, str], ...]] = (
    ("train_label.txt", "train", "train", "train"),
    ("val_q_label.txt", "val", "query", "val_query"),
    ("val_g_label.txt", "val", "gallery", "val_gallery"),
    ("test_q_label.txt", "test", "query", "test_query"),
    ("test_g_label.txt", "test", "gallery", "test_gallery"),
    ("UAV-labels/train_id_label.txt", "train", "train", "image_train"),
    ("UAV-labels/test_query_label.txt", "test", "query", "images_query_test"),
    ("UAV-labels/test_gallery_label.txt", "test", "gallery", "images_gallery_test"),
)
_FOLDERS: Final[tuple[tuple[str, str, Role], ...]] = (
    ("train", "train", "train"),
    ("query", "test", "query"),
    ("gallery", "test", "gallery"),
)
_NAME: Final = re.compile(r"\d+_(-?\d+)")


def read(folder: Path, _: Choices) -> Manifest:
    """Reads whichever layout is there.

    Raises:
        ManifestError: none is, or a list names an image that is not there.
    """
    entries = _from_lists(folder) or _from_names(folder)
    if not {"query", "gallery"} <= {entry.role for entry in entries}:
        expected = ", ".join(name for name, *_ in _LISTS if name != "train_label.txt")
        raise ManifestError(
            f"{folder} is not UAV-VeID: expected the lists {expected}, or folders train, query and gallery of images "
            "called <number>_<identity>.jpg"
        )
    return Manifest(folder, tuple(entries), Protocol(dataset="uav_veid", gallery_per_identity=1))


def _from_lists(folder: Path) -> list[Entry]:
    present = [entry for entry in _LISTS if (folder / entry[0]).is_file()]
    if not present:
        return []
    views = _views(folder / "UAV-labels" / "train_view_label(front rear left right).txt")
    images = ImageIndex(folder)
    entries = []
    for name, split, role, below in present:
        for image, identity in read_labels(folder / name):
            path = images.find(image, below=below)
            view = {"view": views.get(Path(path).name, "")} if views else {}
            junk = identity == "-1"
            entries.append(Entry(path, "" if junk else identity, "", "junk" if junk else role, split, further=view))
    return entries


def _from_names(folder: Path) -> list[Entry]:
    entries = []
    for name, split, role in _FOLDERS:
        for path in sorted((folder / name).glob("*")):
            match = _NAME.fullmatch(path.stem)
            if path.suffix.lower() in IMAGE_SUFFIXES and match:
                junk = match[1] == "-1"
                identity = "" if junk else str(int(match[1]))
                entries.append(Entry(f"{name}/{path.name}", identity, "", "junk" if junk else role, split))
    return entries


def _views(path: Path) -> dict[str, str]:
    """Image name -> front, rear, left or right, from lines of a name and four numbers of which one is 1."""
    views = {}
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        name, *flags = line.split()
        if len(flags) == 4 and "1" in flags:
            views[Path(name).name] = ("front", "rear", "left", "right")[flags.index("1")]
    return views


UAV_VEID: Final = DataSet(
    "uav_veid",
    ("test_q_label.txt", "UAV-labels/test_query_label.txt"),
    read,
    {
        ("train", "train"): Published(18_709, 1_797),
        ("val", "query"): Published(3_554, 596),
        ("val", "gallery"): Published(596, 596),
        ("test", "query"): Published(16_850, 2_208),
        ("test", "gallery"): Published(2_208, 2_208),
    },
)
