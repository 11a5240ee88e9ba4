"""VRAI (Wang et al. 2019): two drones; the test identities are not public.

Names are ``<identity>_<camera>_<frame>.jpg``. The test split has queries and a gallery without identities, for
``training.evaluate --submission``. To score at home, a tenth of the training identities is held out as the split
``val``, one random image of each its query.
"""

import re
from pathlib import Path
from typing import Any, Final

import numpy as np

from index.datasets.manifest import Entry, Manifest, ManifestError, Role
from index.datasets.protocol import Protocol
from training.datasets.dataset import Choices, DataSet, Published, draw
from training.datasets.label_list import ImageIndex, require
from training.datasets.restricted_pickle import read_plain_pickle

_HELD_OUT_SHARE: Final = 0.1
_NAME: Final = re.compile(r"(\d+)_(\d+)_(\d+)")


def read(folder: Path, choices: Choices) -> Manifest:
    """Reads the annotations (Python-2 pickles, through a restricted unpickler).

    Raises:
        ManifestError: one is missing, or names an image that is not there.
    """
    require(folder, "train_annotation.pkl")
    images = ImageIndex(folder)
    train = [_labelled(name, images) for name in _names(read_plain_pickle(folder / "train_annotation.pkl"), folder)]
    identities = sorted({entry.identity for entry in train})
    rng = np.random.default_rng(choices.seed)
    held_out = set(rng.permutation(identities)[: max(round(_HELD_OUT_SHARE * len(identities)), 1)].tolist())
    entries = [entry for entry in train if entry.identity not in held_out]
    entries += draw((_in_val(entry) for entry in train if entry.identity in held_out), 1, choices.seed)
    test = folder / "test_annotation.pkl"
    if test.is_file():
        annotation = read_plain_pickle(test)
        names = _names(annotation, folder, missing_ok=True)
        roles: tuple[Role, ...] = ("query", "gallery")
        for role in roles:
            for name in _order(annotation, (f"test_{role}_order", f"{role}_order"), names, test):
                entries.append(Entry(images.find(name), role=role, split="test"))
    protocol = Protocol(
        dataset="vrai", num_draws=1, drawn_role="query", info={"draw_seed": choices.seed, "held_out": sorted(held_out)}
    )
    return Manifest(folder, tuple(entries), protocol)


def _names(annotation: Any, folder: Path, *, missing_ok: bool = False) -> list[str]:
    """The list of image names: whatever key it has, it ends in ``im_names``."""
    keys = [key for key in annotation if str(key).endswith("im_names")] if isinstance(annotation, dict) else []
    if not keys and not missing_ok:
        raise ManifestError(f"the annotation in {folder} has no list ..._im_names")
    return [str(name) for key in keys for name in annotation[key]]


def _order(annotation: Any, keys: tuple[str, ...], names: list[str], path: Path) -> list[str]:
    """Names in the order of the submission; they are given as names, or as positions in the list of names."""
    key = next((key for key in keys if key in annotation), None)
    if key is None:
        raise ManifestError(f"{path}: expected {' or '.join(keys)}, found {', '.join(map(str, annotation))}")
    return [names[int(item)] if not isinstance(item, str) else item for item in annotation[key]]


def _labelled(name: str, images: ImageIndex) -> Entry:
    match = _NAME.match(Path(name).name)
    if match is None:
        raise ManifestError(f"{name}: expected a name such as 00000001_0002_00000003.jpg (identity, camera, frame)")
    return Entry(images.find(name), str(int(match[1])), str(int(match[2])), "train", "train")


def _in_val(entry: Entry) -> Entry:
    return Entry(entry.path, entry.identity, entry.camera, None, "val")


VRAI: Final = DataSet(
    "vrai",
    ("train_annotation.pkl",),
    read,
    # Published are all training identities, of which the reader holds some out; the test's 6,720 cannot be counted.
    {("train+val", ""): Published(66_113, 6_302), ("test", ""): Published(71_500, None)},
)
