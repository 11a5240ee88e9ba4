import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from index.datasets.manifest import Entry, Manifest
from index.datasets.protocol import Protocol
from model.box import Box, BoxError
from model.image import ImageError, encode_image, read_image
from model.preprocessing import Preprocessing
from tests.conftest import picture, png
from training import crops as crops_module
from training.crops import Crops

SIZE = 32
# Of a prepared image, as the memory counts.
GB = 3 * SIZE**2 / 1e9
BOXES = [Box(0, 0, 20, 30), Box(30, 5, 25, 15), Box(-4, 10, 24, 24)]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Two frames with three vehicles each, line by line mixed, and two crops."""
    folder = tmp_path_factory.mktemp("frames")
    for name in ("frame-0", "frame-1", "crop-0", "crop-1"):
        (folder / f"{name}.jpg").write_bytes(encode_image(picture(sum(name.encode())), "JPEG"))
    entries = [Entry(f"frame-{frame}.jpg", "van", box=box) for box in BOXES for frame in (0, 1)]
    entries[3:3] = [Entry(f"crop-{crop}.jpg", "bus") for crop in (0, 1)]
    return Manifest(folder, tuple(entries), Protocol())


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was decoded."""
    counter: Counter[str] = Counter()
    lock = threading.Lock()

    def counting(path: Path) -> NDArray[np.uint8]:
        with lock:
            counter[path.name] += 1
        return read_image(path)

    monkeypatch.setattr(crops_module, "read_image", counting)
    return counter


CPU = torch.device("cpu")


def crops_of(manifest: Manifest, memory_gb: float = 1.0, *, with_masks: bool = False) -> Crops:
    return Crops(manifest, manifest.entries, Preprocessing(SIZE), CPU, memory_gb, with_masks=with_masks)


def images_of(crops: Crops, *positions: int) -> NDArray[np.uint8]:
    """Of the positions (N, S, S, C), by one batch."""
    (batch,) = crops.batches([np.array(positions)])
    return batch.permute(0, 2, 3, 1).numpy()


def by_hand(manifest: Manifest, position: int) -> NDArray[np.uint8]:
    """With Pillow alone, which knows nothing of boxes that overshoot."""
    entry = manifest.entries[position]
    with Image.open(manifest.folder / entry.path) as image:
        box = entry.box or Box(0, 0, image.width, image.height)
        right, bottom = min(box.x + box.w, image.width), min(box.y + box.h, image.height)
        crop = image.crop((max(box.x, 0), max(box.y, 0), right, bottom))
    return np.asarray(crop.resize((SIZE, SIZE), Image.Resampling.BILINEAR))


MEMORIES = {"nothing fits": 0.0, "three fit": 3.5 * GB, "all fit": 1.0}


@pytest.mark.parametrize("is_loaded", [True, False], ids=["loaded", "not loaded"])
@pytest.mark.parametrize("memory_gb", MEMORIES.values(), ids=MEMORIES)
def test_the_pixels_are_those_that_one_reads_by_hand(memory_gb: float, is_loaded: bool, manifest: Manifest) -> None:
    crops = crops_of(manifest, memory_gb)
    if is_loaded:
        assert crops.load() == {}
    order = np.random.default_rng(0).permutation(2 * len(manifest.entries)) % len(manifest.entries)
    for position in order.tolist():
        np.testing.assert_array_equal(images_of(crops, position)[0], by_hand(manifest, position))
    found = images_of(crops, *range(len(manifest.entries)))
    assert len({image.tobytes() for image in found}) == len(manifest.entries)


@pytest.mark.parametrize("memory_gb", MEMORIES.values(), ids=MEMORIES)
def test_loading_decodes_each_file_once_and_counts_its_vehicles(
    memory_gb: float, manifest: Manifest, decoded: Counter[str]
) -> None:
    done: list[int] = []
    crops_of(manifest, memory_gb).load(done.append)
    assert decoded == {"frame-0.jpg": 1, "frame-1.jpg": 1, "crop-0.jpg": 1, "crop-1.jpg": 1}
    assert sorted(done) == [1, 1, 3, 3]


def test_where_all_fit_nothing_is_decoded_again(manifest: Manifest, decoded: Counter[str]) -> None:
    crops = crops_of(manifest)
    crops.load()
    decoded.clear()
    for _ in range(2):
        images_of(crops, *reversed(range(len(manifest.entries))))
    assert decoded == {}


def test_where_nothing_fits_every_vehicle_decodes_its_frame(manifest: Manifest, decoded: Counter[str]) -> None:
    crops = crops_of(manifest, 0)
    crops.load()
    decoded.clear()
    for _ in range(2):
        for position in range(len(manifest.entries)):
            np.testing.assert_array_equal(images_of(crops, position)[0], by_hand(manifest, position))
    assert decoded == {"frame-0.jpg": 6, "frame-1.jpg": 6, "crop-0.jpg": 2, "crop-1.jpg": 2}


@pytest.mark.parametrize("room", range(10))
def test_as_many_are_kept_as_fit(room: int, manifest: Manifest, decoded: Counter[str]) -> None:
    crops = crops_of(manifest, (room + 0.5) * GB)
    crops.load()
    decoded.clear()
    kept = 0
    for position in range(len(manifest.entries)):
        before = decoded.total()
        np.testing.assert_array_equal(images_of(crops, position)[0], by_hand(manifest, position))
        kept += decoded.total() == before
    assert kept == min(room, len(manifest.entries))


@pytest.mark.parametrize("memory_gb", MEMORIES.values(), ids=MEMORIES)
def test_batches_come_in_order_and_as_the_network_takes_them(memory_gb: float, manifest: Manifest) -> None:
    rng = np.random.default_rng(1)
    positions = [rng.integers(0, len(manifest.entries), 3) for _ in range(20)]
    crops = crops_of(manifest, memory_gb)
    crops.load()
    batches = list(crops.batches(iter(positions)))
    assert len(batches) == 20
    for batch, chosen in zip(batches, positions, strict=True):
        expected = np.stack([by_hand(manifest, position) for position in chosen.tolist()])
        assert batch.dtype == torch.uint8
        assert batch.shape == (3, 3, SIZE, SIZE)
        assert batch.is_contiguous(memory_format=torch.channels_last)
        np.testing.assert_array_equal(batch.permute(0, 2, 3, 1).numpy(), expected)


@pytest.mark.parametrize("is_loaded", [True, False])
def test_no_positions_are_no_batches(is_loaded: bool, manifest: Manifest) -> None:
    crops = crops_of(manifest)
    if is_loaded:
        crops.load()
    assert list(crops.batches(np.empty((0, 3), np.int64))) == []


# --- what cannot be used


@pytest.fixture
def damaged(manifest: Manifest, tmp_path: Path) -> Manifest:
    """Between usable lines: a torn crop, an absent one, a box beside its frame, and a frame that is none."""
    for path in manifest.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "torn.jpg").write_bytes((manifest.folder / "crop-0.jpg").read_bytes()[:200])
    (tmp_path / "text.jpg").write_text("a frame")
    usable = list(manifest.entries)
    entries = [
        Entry("torn.jpg", "van"),
        *usable[:2],
        Entry("absent.jpg", "van"),
        replace(usable[0], box=Box(500, 0, 20, 20)),
        usable[3],
        Entry("text.jpg", "van", box=Box(0, 0, 20, 20)),
        Entry("text.jpg", "bus", box=Box(9, 9, 20, 20)),
        usable[-1],
    ]
    return Manifest(tmp_path, tuple(entries), Protocol())


@pytest.mark.parametrize("memory_gb", MEMORIES.values(), ids=MEMORIES)
def test_all_that_cannot_be_used_is_named_by_its_position(memory_gb: float, damaged: Manifest) -> None:
    done: list[int] = []
    found = crops_of(damaged, memory_gb).load(done.append)
    folder = damaged.folder
    assert sorted(found) == [0, 3, 4, 6, 7]
    assert found[0].startswith(f"{folder / 'torn.jpg'}: the image is damaged")
    assert "No such file" in found[3]
    assert str(folder / "absent.jpg") in found[3]
    assert found[4].startswith(f"{folder / 'frame-0.jpg'}: the box 500,0,20,20 lies outside")
    assert found[6] == found[7]
    assert found[6].startswith(f"{folder / 'text.jpg'}: ")
    assert sum(done) == len(damaged.entries)


@pytest.mark.parametrize("memory_gb", [0.0, 2.5 * GB, 1.0])
def test_what_is_left_out_numbers_the_others_anew_in_their_order(memory_gb: float, damaged: Manifest) -> None:
    crops = crops_of(damaged, memory_gb)
    crops.leave_out(crops.load())
    usable = [1, 2, 5, 8]
    for order in ([0, 1, 2, 3], [3, 0, 3, 1]):
        expected = np.stack([by_hand(damaged, usable[position]) for position in order])
        np.testing.assert_array_equal(images_of(crops, *order), expected)


def test_what_becomes_unusable_later_is_an_error_that_names_the_file(damaged: Manifest) -> None:
    crops = crops_of(damaged, 0)
    crops.leave_out(crops.load())
    (damaged.folder / "crop-0.jpg").write_bytes(b"torn")
    batches = crops.batches(np.array([[0, 1], [1, 2], [0, 3]]))
    np.testing.assert_array_equal(next(batches)[0].permute(1, 2, 0).numpy(), by_hand(damaged, 1))
    with pytest.raises(ImageError, match="crop-0"):
        list(batches)
    (damaged.folder / "crop-0.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="crop-0"):
        images_of(crops, 2)


def test_a_box_beside_its_image_is_an_error_that_names_the_file(manifest: Manifest) -> None:
    outside = replace(manifest.entries[0], box=Box(500, 0, 20, 20))
    with pytest.raises(BoxError) as raised:
        images_of(crops_of(replace(manifest, entries=(outside,))), 0)
    assert str(raised.value).startswith(f"{manifest.folder / 'frame-0.jpg'}: the box 500,0,20,20 lies outside")


# --- masks


def masked(manifest: Manifest, masks: dict[str, Any], tmp_path: Path) -> Manifest:
    """A line of each frame and one of a crop; by the file's name its mask, a picture of one channel."""
    entries = []
    for path in manifest.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for entry in (*manifest.entries[:2], manifest.entries[3]):
        mask = masks.get(entry.path)
        name = f"mask-of-{entry.path}.png" if mask is not None else ""
        if isinstance(mask, bytes):
            (tmp_path / name).write_bytes(mask)
        elif mask is not None:
            Image.fromarray(mask).save(tmp_path / name)
        entries.append(replace(entry, further={"mask": name} if name else {}))
    return Manifest(tmp_path, tuple(entries), Protocol())


@pytest.mark.parametrize("memory_gb", [0.0, 1.0])
def test_a_mask_is_cut_and_resized_like_its_image(memory_gb: float, manifest: Manifest, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    frame = random.integers(0, 256, (40, 60), np.uint8)
    black_and_white = np.zeros((40, 60), np.bool_)
    black_and_white[5:25, 10:50] = True
    data = masked(manifest, {"frame-0.jpg": frame, "frame-1.jpg": black_and_white}, tmp_path)
    crops = crops_of(data, memory_gb, with_masks=True)
    assert crops.load() == {}
    found = images_of(crops, 0, 1, 2)
    assert found.shape == (3, SIZE, SIZE, 4)
    for position, mask in enumerate((frame, black_and_white.astype(np.uint8) * 255)):
        np.testing.assert_array_equal(found[position, :, :, :3], by_hand(data, position))
        box = data.entries[position].box
        assert box is not None
        crop = Image.fromarray(mask).crop((max(box.x, 0), max(box.y, 0), box.x + box.w, box.y + box.h))
        expected = np.asarray(crop.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(found[position, :, :, 3], expected)
    # Where the data has none, all of it counts as vehicle.
    assert (found[2, :, :, 3] == 255).all()


def test_where_an_image_is_padded_no_vehicle_is(manifest: Manifest, tmp_path: Path) -> None:
    data = masked(manifest, {"frame-0.jpg": np.full((40, 60), 255, np.uint8)}, tmp_path)  # the box is 20 x 30
    crops = Crops(data, data.entries, Preprocessing(SIZE, resize="pad"), CPU, 1.0, with_masks=True)
    assert crops.load() == {}
    mask = images_of(crops, 0)[0, :, :, 3]
    columns = (mask == 255).all(axis=0)
    assert columns.sum() in (21, 22)
    assert (mask[:, ~columns] == 0).mean() > 0.8  # but for the border between them
    assert mask[:, [0, -1]].max() == 0


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (np.zeros((41, 60), np.uint8), "is 60 x 41 pixels, its image 60 x 40"),
        (b"no picture", "mask-of-frame-0.jpg.png: "),
        (png(1)[:200], "mask-of-frame-0.jpg.png: the image is damaged"),
    ],
    ids=["another size", "no picture", "torn"],
)
def test_a_mask_that_cannot_be_used_is_named(
    mask: NDArray[np.uint8] | bytes, reason: str, manifest: Manifest, tmp_path: Path
) -> None:
    data = masked(manifest, {"frame-0.jpg": mask}, tmp_path)
    found = crops_of(data, with_masks=True).load()
    assert list(found) == [0]
    assert reason in found[0]
    assert str(tmp_path / "mask-of-frame-0.jpg.png") in found[0]
    assert crops_of(data).load() == {}  # nobody asks for it


def test_a_mask_that_is_absent_is_named(manifest: Manifest, tmp_path: Path) -> None:
    data = masked(manifest, {}, tmp_path)
    data = replace(data, entries=(replace(data.entries[0], further={"mask": "absent.png"}), *data.entries[1:]))
    found = crops_of(data, with_masks=True).load()
    assert list(found) == [0]
    assert str(tmp_path / "absent.png") in found[0]
