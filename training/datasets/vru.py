"""VRU (Lu et al. 2022): drone images, no cameras; one random image of each test identity is held out.

The official ``vru.py`` makes the held-out image the query and the rest the gallery, the benchmark of 2026 the other way
round: `Choices.vru_roles`. Lines need not be grouped by identity.
"""

from pathlib import Path
from typing import Final

from index.datasets.manifest import Entry, Manifest
from index.datasets.protocol import Protocol
from training.datasets.dataset import Choices, DataSet, Published, draw
from training.datasets.label_list import read_labels, require

_SIZES: Final = (1200, 2400, 8000)


def read(folder: Path, choices: Choices) -> Manifest:
    """Reads ``train_test_split/``; each test list is a split of its own (``test_1200``, ...).

    Raises:
        ManifestError: a list is missing or damaged.
    """
    require(folder, "Pic", "train_test_split/train_list.txt")
    lists = folder / "train_test_split"
    entries = [_entry(*line, split="train", role="train") for line in read_labels(lists / "train_list.txt")]
    present = [size for size in _SIZES if (lists / f"test_list_{size}.txt").is_file()]
    require(folder, *([] if present else [f"train_test_split/test_list_{size}.txt" for size in _SIZES]))
    for size in present:
        tested = [_entry(*line, split=f"test_{size}") for line in read_labels(lists / f"test_list_{size}.txt")]
        entries += draw(tested, 1, choices.seed)
    protocol = Protocol(
        dataset="vru",
        num_draws=1,
        drawn_role="query" if choices.vru_roles == "official" else "gallery",
        info={"draw_seed": choices.seed, "roles": choices.vru_roles},
    )
    return Manifest(folder, tuple(entries), protocol)


def _entry(image: str, identity: str, split: str, role: str | None = None) -> Entry:
    return Entry(f"Pic/{image}.jpg", identity, "", role, split)  # type: ignore[arg-type]


VRU: Final = DataSet(
    "vru",
    ("Pic",),
    read,
    {
        ("test_1200", ""): Published(None, 1_200),
        ("test_2400", ""): Published(None, 2_400),
        ("test_8000", ""): Published(None, 8_000),
    },
)
