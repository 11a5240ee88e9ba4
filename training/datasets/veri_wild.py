"""VERI-Wild (Lou et al. 2019): 174 cameras; same vehicle and same camera is removed."""

from pathlib import Path
from typing import Final

from index.datasets.manifest import Entry, Manifest, ManifestError, Role
from index.datasets.protocol import Protocol
from training.datasets.dataset import Choices, DataSet, Published
from training.datasets.label_list import read_names, require

_SIZES: Final = (3000, 5000, 10000)


def read(folder: Path, _: Choices) -> Manifest:
    """Reads ``train_test_split/``; each test size is a split of its own (``test_3000``, ...).

    Raises:
        ManifestError: a list is missing, or names an image without a camera.
    """
    lists = folder / "train_test_split"
    require(folder, "images", "train_test_split/train_list.txt", "train_test_split/vehicle_info.txt")
    cameras = _cameras(lists / "vehicle_info.txt")
    entries = _entries(lists / "train_list.txt", cameras, "train", "train")
    present = [size for size in _SIZES if (lists / f"test_{size}.txt").is_file()]
    require(folder, *([] if present else [f"train_test_split/test_{size}.txt" for size in _SIZES]))
    for size in present:
        require(folder, f"train_test_split/test_{size}_query.txt")
        entries += _entries(lists / f"test_{size}_query.txt", cameras, f"test_{size}", "query")
        entries += _entries(lists / f"test_{size}.txt", cameras, f"test_{size}", "gallery")
    return Manifest(folder, tuple(entries), Protocol(dataset="veri_wild", camera_rule="same_camera"))


def _entries(path: Path, cameras: dict[str, str], split: str, role: Role) -> list[Entry]:
    entries = []
    for name in read_names(path):
        image = name.removesuffix(".jpg")
        identity, slash, _ = image.partition("/")
        if not slash or image not in cameras:
            raise ManifestError(f"{path}: {name!r} is not <identity>/<image>, or has no line in vehicle_info.txt")
        entries.append(Entry(f"images/{image}.jpg", identity, cameras[image], role, split))
    return entries


def _cameras(path: Path) -> dict[str, str]:
    """``<identity>/<image>`` -> camera, from lines ``id/image;camera;...`` below a header."""
    cameras = {}
    for number, line in enumerate(read_names(path)[1:], start=2):
        image, semicolon, rest = line.partition(";")
        if not semicolon:
            raise ManifestError(f'{path}, line {number}: expected "<identity>/<image>;<camera>;...", got {line[:80]!r}')
        cameras[image.strip()] = rest.partition(";")[0].strip()
    return cameras


VERI_WILD: Final = DataSet(
    "veri_wild",
    ("train_test_split/vehicle_info.txt",),
    read,
    {
        ("train", "train"): Published(277_797, 30_671),
        ("test_3000", "query"): Published(3_000, 3_000),
        ("test_3000", "gallery"): Published(38_861, 3_000),
        ("test_5000", "query"): Published(5_000, 5_000),
        ("test_5000", "gallery"): Published(64_389, 5_000),
        ("test_10000", "query"): Published(10_000, 10_000),
        ("test_10000", "gallery"): Published(128_517, 10_000),
    },
)
