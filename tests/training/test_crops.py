import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from index.manifest import Entry, Manifest
from index.protocol import Protocol
from model.box import Box, BoxError
from model.image import ImageError, encode_image, read_image
from model.preprocessing import Preprocessing
from tests.conftest import picture
from training import crops as crops_module
from training.crops import Crops

SIZE = 32
# Of a prepared image, as the cache counts.
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


def crops_of(manifest: Manifest, cache_gb: float = 1.0) -> Crops:
    return Crops(manifest, manifest.entries, Preprocessing(SIZE), cache_gb)


def by_hand(manifest: Manifest, position: int) -> NDArray[np.uint8]:
    """With Pillow alone, which knows nothing of boxes that overshoot."""
    entry = manifest.entries[position]
    with Image.open(manifest.folder / entry.path) as image:
        box = entry.box or Box(0, 0, image.width, image.height)
        right, bottom = min(box.x + box.w, image.width), min(box.y + box.h, image.height)
        crop = image.crop((max(box.x, 0), max(box.y, 0), right, bottom))
    return np.asarray(crop.resize((SIZE, SIZE), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("cache_gb", [0, 3 * GB, 1])
def test_the_pixels_are_those_that_one_reads_by_hand(cache_gb: float, manifest: Manifest) -> None:
    crops = crops_of(manifest, cache_gb)
    order = np.random.default_rng(0).permutation(2 * len(manifest.entries)) % len(manifest.entries)
    for position in order.tolist():
        np.testing.assert_array_equal(crops[position], by_hand(manifest, position))
    assert len({crops[position].tobytes() for position in range(len(manifest.entries))}) == len(manifest.entries)


def test_a_frame_is_decoded_once_for_all_of_its_vehicles(manifest: Manifest, decoded: Counter[str]) -> None:
    crops = crops_of(manifest)
    for _ in range(2):
        for position in reversed(range(len(manifest.entries))):
            assert crops[position].shape == (SIZE, SIZE, 3)
    assert decoded == {"frame-0.jpg": 1, "frame-1.jpg": 1, "crop-0.jpg": 1, "crop-1.jpg": 1}


def test_without_a_cache_every_vehicle_decodes_its_frame(manifest: Manifest, decoded: Counter[str]) -> None:
    crops = crops_of(manifest, 0)
    for _ in range(2):
        for position in range(len(manifest.entries)):
            np.testing.assert_array_equal(crops[position], by_hand(manifest, position))
    assert decoded == {"frame-0.jpg": 6, "frame-1.jpg": 6, "crop-0.jpg": 2, "crop-1.jpg": 2}


@pytest.mark.parametrize("room", range(9))
def test_the_cache_holds_as_many_as_fit(room: int, manifest: Manifest, decoded: Counter[str]) -> None:
    crops = crops_of(manifest, (room + 0.5) * GB)
    everything = range(len(manifest.entries))
    for position in everything:
        crops[position]
    decoded.clear()
    from_cache = 0
    for position in everything:
        before = decoded.total()
        np.testing.assert_array_equal(crops[position], by_hand(manifest, position))
        from_cache += decoded.total() == before
    assert from_cache == min(room, len(manifest.entries))


def test_batches_come_in_order_and_as_the_network_takes_them(manifest: Manifest) -> None:
    rng = np.random.default_rng(1)
    positions = [rng.integers(0, len(manifest.entries), 3) for _ in range(20)]
    batches = list(crops_of(manifest, 2 * GB).batches(iter(positions)))
    assert len(batches) == 20
    for batch, chosen in zip(batches, positions, strict=True):
        expected = np.stack([by_hand(manifest, position) for position in chosen.tolist()])
        assert batch.dtype == torch.uint8
        assert batch.shape == (3, 3, SIZE, SIZE)
        assert batch.is_contiguous(memory_format=torch.channels_last)
        np.testing.assert_array_equal(batch.permute(0, 2, 3, 1).numpy(), expected)


def test_no_positions_are_no_batches(manifest: Manifest) -> None:
    assert list(crops_of(manifest).batches(np.empty((0, 3), np.int64))) == []


def test_an_image_that_is_none_is_an_error_that_names_the_file(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "torn.jpg").write_bytes((manifest.folder / "crop-0.jpg").read_bytes()[:200])
    crops = crops_of(Manifest(tmp_path, (Entry("torn.jpg", "van"),), Protocol()))
    with pytest.raises(ImageError) as raised:
        crops[0]
    assert str(raised.value).startswith(f"{tmp_path / 'torn.jpg'}: ")


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    crops = crops_of(Manifest(tmp_path, (Entry("absent.jpg", "van"),), Protocol()))
    with pytest.raises(FileNotFoundError) as raised:
        crops[0]
    assert raised.value.filename == str(tmp_path / "absent.jpg")


def test_a_box_beside_its_image_is_an_error_that_names_the_file(manifest: Manifest) -> None:
    outside = replace(manifest.entries[0], box=Box(500, 0, 20, 20))
    crops = crops_of(replace(manifest, entries=(outside,)))
    with pytest.raises(BoxError) as raised:
        crops[0]
    assert str(raised.value).startswith(f"{manifest.folder / 'frame-0.jpg'}: the box 500,0,20,20 lies outside")


def test_an_error_in_a_thread_comes_out_of_the_batches(manifest: Manifest) -> None:
    absent = replace(manifest, entries=(*manifest.entries, Entry("absent.jpg", "van")))
    batches = crops_of(absent).batches(np.array([[0, 1], [2, len(manifest.entries)], [3, 4]]))
    np.testing.assert_array_equal(next(batches)[0].permute(1, 2, 0).numpy(), by_hand(manifest, 0))
    with pytest.raises(FileNotFoundError, match="absent"):
        list(batches)
