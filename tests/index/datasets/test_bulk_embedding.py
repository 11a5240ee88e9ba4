import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index.datasets import bulk_embedding
from index.datasets.bulk_embedding import BATCH_SIZE, cut_entry, embed_entries, prepare_entries
from index.datasets.manifest import Entry, Manifest
from index.datasets.protocol import Protocol
from model.box import Box, BoxError
from model.checkpoint import load_checkpoint
from model.embedder import Embedder
from model.embeddings import Embeddings
from model.image import DecodedImage, ImageError, decode_image
from model.preprocessing import Preprocessing
from tests.conftest import picture, png

Images = NDArray[np.uint8]
SMALL = Preprocessing(size_px=32)
BOXES = [None, Box(0, 0, 30, 20), Box(10, 5, 40, 30), Box(-5, -3, 40, 30), Box(40, 20, 30, 21)]
NUM_FILES = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures 0.png to 4.png, each another; and some that cannot be used."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(NUM_FILES):
        (folder / f"{seed}.png").write_bytes(png(seed))
    (folder / "broken.png").write_bytes(png(9)[:200])
    (folder / "text.png").write_bytes(b"no picture")
    return folder


def manifest(folder: Path) -> Manifest:
    return Manifest(folder, (), Protocol())


def entries_in_order(order: str) -> list[Entry]:
    """The same 25 vehicles, five in each file: file by file, by turns, or shuffled."""
    every = [Entry(f"{file}.png", box=box) for file in range(NUM_FILES) for box in BOXES]
    if order == "by turns":
        return every[::5] + every[1::5] + every[2::5] + every[3::5] + every[4::5]
    if order == "shuffled":
        return [every[i] for i in np.random.default_rng(6).permutation(len(every))]
    return every


ORDERS = ["by file", "by turns", "shuffled"]


def prepared_by_hand(entry: Entry, preprocessing: Preprocessing = SMALL) -> Images:
    """Without any of the code under test; all these boxes overshoot at most to the left and above."""
    pixels = picture(int(entry.path.removesuffix(".png")))
    if entry.box is not None:
        x, y, w, h = entry.box.x, entry.box.y, entry.box.w, entry.box.h
        pixels = pixels[max(y, 0) : y + h, max(x, 0) : x + w]
    return preprocessing(pixels)


class Recording:
    """Embeds an image as 12 of its pixels, its theta as two times them, and keeps what it was given."""

    def __init__(self) -> None:
        self.batches: list[Images] = []
        self.threads: set[int] = set()

    def __call__(self, images: Images) -> Embeddings:
        self.batches.append(images)
        self.threads.add(threading.get_ident())
        return Embeddings(*embedded_by_hand(images))


def embedded_by_hand(images: Sequence[Images] | Images) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    pixels = np.stack([image[::16, ::16].reshape(12) for image in images]).astype(np.float32)
    return pixels, 2 * pixels[:, :6].reshape(-1, 2, 3)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("num", [1, 7, 8, 9, 25])
def test_each_entry_has_its_own_embedding_whatever_the_order_of_the_files(folder: Path, order: str, num: int) -> None:
    entries = entries_in_order(order)[:num]
    embedded = embed_entries(manifest(folder), entries, SMALL, Recording())
    embedding, theta = embedded_by_hand([prepared_by_hand(entry) for entry in entries])
    assert np.array_equal(embedded.embedding, embedding)
    assert np.array_equal(embedded.theta, theta)
    assert len({row.tobytes() for row in embedding}) == num  # they all differ, so that their order is seen
    assert embedded.embedding.dtype == embedded.theta.dtype == np.float32


@pytest.mark.parametrize("order", ORDERS)
def test_batches_are_full_and_file_by_file_in_the_order_of_first_appearance(folder: Path, order: str) -> None:
    entries, recording, progress = entries_in_order(order), Recording(), list[int]()
    embed_entries(manifest(folder), entries, SMALL, recording, progress.append)
    assert [len(batch) for batch in recording.batches] == progress == [8, 8, 8, 1]
    assert BATCH_SIZE == 8
    files = list(dict.fromkeys(entry.path for entry in entries))
    expected = [prepared_by_hand(entry) for file in files for entry in entries if entry.path == file]
    assert np.array_equal(np.concatenate(recording.batches), np.stack(expected))
    assert recording.batches[0].dtype == np.uint8


def test_the_network_is_called_in_the_callers_thread(folder: Path) -> None:
    recording = Recording()
    embed_entries(manifest(folder), entries_in_order("shuffled"), SMALL, recording)
    assert recording.threads == {threading.get_ident()}


@pytest.mark.parametrize("order", ORDERS)
def test_each_file_is_read_and_decoded_once(folder: Path, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    read, decoded = Counter[str](), Counter[bytes]()
    really: Callable[[Path], bytes] = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        read[path.name] += 1
        return really(path)

    def decode(data: bytes) -> DecodedImage:
        decoded[data] += 1
        return decode_image(data)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    monkeypatch.setattr(bulk_embedding, "decode_image", decode)
    embed_entries(manifest(folder), entries_in_order(order), SMALL, Recording())
    assert read == {f"{seed}.png": 1 for seed in range(NUM_FILES)}
    assert decoded == {png(seed): 1 for seed in range(NUM_FILES)}


@pytest.mark.parametrize("order", ORDERS)
def test_the_content_is_the_hash_of_each_entrys_file(folder: Path, order: str) -> None:
    entries = entries_in_order(order)
    embedded = embed_entries(manifest(folder), entries, SMALL, Recording())
    assert embedded.content == [hashlib.sha256((folder / entry.path).read_bytes()).hexdigest() for entry in entries]


def test_the_numbers_are_those_of_the_network_on_the_same_batches(folder: Path, small_checkpoint: Path) -> None:
    embedder = Embedder(load_checkpoint(small_checkpoint))
    preprocessing = embedder.card.preprocessing
    entries = entries_in_order("shuffled")[:10]
    embedded = embed_entries(manifest(folder), entries, preprocessing, embedder.embed_prepared)

    files = list(dict.fromkeys(entry.path for entry in entries))
    positions = [i for file in files for i, entry in enumerate(entries) if entry.path == file]
    images = np.stack([prepared_by_hand(entries[i], preprocessing) for i in positions])
    for part in (slice(0, 8), slice(8, 10)):
        expected = embedder.embed_prepared(images[part])
        # The same network and batch in the same process: bits, as `training.evaluate` and `/metrics` promise.
        assert np.array_equal(embedded.embedding[positions[part]], expected.embedding)
        assert np.array_equal(embedded.theta[positions[part]], expected.theta)


@pytest.mark.parametrize(
    ("entry", "error", "message"),
    [
        (Entry("broken.png"), ImageError, "the image is damaged and cannot be decoded"),
        (Entry("text.png"), ImageError, "the file is not a JPEG, PNG, WebP, TIFF, HEIC or AVIF image but text"),
        (Entry("1.png", box=Box(70, 0, 10, 10)), BoxError, "the box 70,0,10,10 lies outside the image of 60 x 40"),
        (Entry("2.png", box=Box(0, 0, 3, 10)), BoxError, "the box 0,0,3,10 covers less than 4 x 4 pixels"),
        (Entry("gone.png"), FileNotFoundError, ""),
    ],
    ids=lambda value: value.path if isinstance(value, Entry) else None,
)
def test_a_file_that_cannot_be_used_is_an_error_with_its_name(
    folder: Path, entry: Entry, error: type[Exception], message: str
) -> None:
    entries = entries_in_order("shuffled")
    entries.insert(11, entry)
    with pytest.raises(error) as raised:
        embed_entries(manifest(folder), entries, SMALL, Recording())
    assert type(raised.value) is error
    assert str(folder / entry.path) in str(raised.value)
    assert message in str(raised.value)
    if message:
        assert str(raised.value).startswith(f"{folder / entry.path}: ")


def test_an_error_of_the_network_comes_out(folder: Path) -> None:
    def fails(_: Images) -> Embeddings:
        raise RuntimeError("the network")

    with pytest.raises(RuntimeError, match="the network"):
        embed_entries(manifest(folder), entries_in_order("by file"), SMALL, fails)


@pytest.mark.parametrize("order", ORDERS)
def test_prepared_entries_say_which_they_are(folder: Path, order: str) -> None:
    entries = entries_in_order(order)
    prepared = list(prepare_entries(manifest(folder), entries, SMALL))
    assert sorted(one.position for one in prepared) == list(range(25))
    for one in prepared:
        assert np.array_equal(one.image, prepared_by_hand(entries[one.position]))


def test_files_are_decoded_only_a_little_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []

    def decode(data: bytes) -> DecodedImage:
        decoded.append(data)
        return decode_image(data)

    monkeypatch.setattr(bulk_embedding, "decode_image", decode)
    monkeypatch.setattr(bulk_embedding, "usable_cores", lambda: 2)
    for i in range(40):
        (tmp_path / f"{i}.png").write_bytes(png(i, 8, 8))
    images = prepare_entries(manifest(tmp_path), [Entry(f"{i}.png") for i in range(40)], SMALL)
    assert decoded == []
    for taken in range(1, 11):
        assert next(images).position == taken - 1
        assert taken <= len(decoded) <= taken + 4
    images.close()  # type: ignore[attr-defined]
    assert len(decoded) <= 14


def test_without_a_box_the_vehicle_is_the_whole_image() -> None:
    pixels = picture(1)
    assert np.array_equal(cut_entry(Entry("a"), pixels), pixels)


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        (Box(0, 0, 60, 40), slice(0, 40), slice(0, 60)),
        (Box(7, 11, 20, 5), slice(11, 16), slice(7, 27)),
        (Box(-5, -6, 30, 20), slice(0, 14), slice(0, 25)),
        (Box(50, 30, 15, 12), slice(30, 40), slice(50, 60)),
    ],
    ids=str,
)
def test_a_box_is_cut_out_as_far_as_it_lies_on_the_image(box: Box, rows: slice, columns: slice) -> None:
    pixels = picture(1)
    assert np.array_equal(cut_entry(Entry("a", box=box), pixels), pixels[rows, columns])


def test_a_box_off_the_image_is_refused() -> None:
    with pytest.raises(BoxError, match="mostly outside"):
        cut_entry(Entry("a", box=Box(40, 0, 50, 40)), picture(1))
