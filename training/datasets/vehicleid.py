"""VehicleID (Liu et al. 2016): no cameras; one random gallery image of each identity, the mean of ten draws."""

from pathlib import Path
from typing import Final

from index.datasets.manifest import Entry, Manifest
from index.datasets.protocol import Protocol
from training.datasets.dataset import Choices, DataSet, Published, draw
from training.datasets.label_list import read_labels, require

_NUM_DRAWS: Final = 10
_SIZES: Final = (800, 1600, 2400, 13164)


def read(folder: Path, choices: Choices) -> Manifest:
    """Reads ``train_test_split/``; each test list is a split of its own (``test_800``, ...).

    Raises:
        ManifestError: a list is missing or damaged.
    """
    lists = folder / "train_test_split"
    require(folder, "image", "train_test_split/train_list.txt")
    entries = [_entry(*line, split="train", role="train") for line in read_labels(lists / "train_list.txt")]
    present = [size for size in _SIZES if (lists / f"test_list_{size}.txt").is_file()]
    require(folder, *([] if present else [f"train_test_split/test_list_{size}.txt" for size in _SIZES]))
    for size in present:
        tested = [_entry(*line, split=f"test_{size}") for line in read_labels(lists / f"test_list_{size}.txt")]
        entries += draw(tested, _NUM_DRAWS, choices.seed)
    protocol = Protocol(
        dataset="vehicleid",
        gallery_per_identity=1,
        num_draws=_NUM_DRAWS,
        drawn_role="gallery",
        info={"draw_seed": choices.seed},
    )
    return Manifest(folder, tuple(entries), protocol)


def _entry(image: str, identity: str, split: str, role: str | None = None) -> Entry:
    return Entry(f"image/{image}.jpg", identity, "", role, split)  # type: ignore[arg-type]


VEHICLEID: Final = DataSet(
    "vehicleid",
    tuple(f"train_test_split/test_list_{size}.txt" for size in _SIZES),
    read,
    {
        ("train", "train"): Published(110_178, 13_134),
        ("test_800", ""): Published(7_332, 800),
        ("test_1600", ""): Published(12_995, 1_600),
        ("test_2400", ""): Published(20_038, 2_400),
        ("test_13164", ""): Published(None, 13_164),
    },
)
