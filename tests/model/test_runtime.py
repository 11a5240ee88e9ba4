import ctypes
import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.build import build_network
from model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.config import SANetConfig
from model.embedder import Embedder
from model.embeddings import EmbeddingError, Embeddings, largest_difference
from model.openvino_runtime import OpenVinoRuntime, images_per_piece
from model.precision import Precision
from model.preprocessing import Preprocessing
from model.runtime import RuntimeChoice, build_runtime, cache_of_environment
from model.torch_runtime import TorchRuntime

CPU = torch.device("cpu")
IMAGES = np.random.default_rng(1).integers(0, 256, (5, 64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def turning(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Of the kind that ships: it turns its input."""
    preprocessing = Preprocessing(size_px=64)
    torch.manual_seed(3)
    network = build_network(SANetConfig("resnet18", aligned="input", transform="rotation"), preprocessing)
    path = tmp_path_factory.mktemp("turning") / "turning.safetensors"
    save_checkpoint(path, network, preprocessing, {"trained": False, "data": None})
    return load_checkpoint(path)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Converting takes seconds: once for all tests that do not damage it."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def converted_once(turning: Checkpoint, cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Converting gives the module's network at once; the list grows by an entry each time."""
    import openvino

    OpenVinoRuntime(turning, cache)
    (kept,) = (folder for folder in cache.iterdir() if folder.name.startswith(turning.card.fingerprint))
    conversions: list[str] = []

    def convert(*_: object) -> object:
        conversions.append("converted")
        return openvino.Core().read_model(kept / "network.xml")

    monkeypatch.setattr("model.openvino_runtime._convert", convert)
    return conversions


@pytest.mark.parametrize("which", ["turning", "small_checkpoint"])
def test_openvino_embeds_as_torch_does(which: str, request: pytest.FixtureRequest, cache: Path) -> None:
    given = request.getfixturevalue(which)
    checkpoint = given if isinstance(given, Checkpoint) else load_checkpoint(given)
    expected = Embedder(checkpoint, runtime="torch").embed_prepared(IMAGES)
    embedder = Embedder(checkpoint, runtime="openvino", cache=cache)
    assert embedder.runtime.startswith("OpenVINO 20")
    for num_images in (5, 1, 3):
        found = embedder.embed_prepared(IMAGES[:num_images])
        assert found.embedding.shape == (num_images, 2560)
        assert found.embedding.dtype == found.theta.dtype == np.float32
        part = expected._replace(embedding=expected.embedding[:num_images], theta=expected.theta[:num_images])
        assert largest_difference(part, found) < 1e-4
    assert np.abs(found.theta - np.eye(2, 3)).max() > 0.02


def test_what_was_converted_is_read_again(turning: Checkpoint, cache: Path, converted_once: list[str]) -> None:
    expected = Embedder(turning, runtime="torch").embed_prepared(IMAGES)
    assert largest_difference(expected, OpenVinoRuntime(turning, cache)(IMAGES)) < 1e-4
    assert converted_once == []
    OpenVinoRuntime(turning, cache, use_kept=False)
    assert converted_once == ["converted"]


@pytest.mark.parametrize("damage", ["weights", "graph", "no weights"])
def test_a_damaged_file_of_the_cache_is_made_anew(
    damage: str, turning: Checkpoint, cache: Path, converted_once: list[str], tmp_path: Path
) -> None:
    (kept,) = (folder for folder in cache.iterdir() if folder.name.startswith(turning.card.fingerprint))
    copy = tmp_path / kept.name
    copy.mkdir()
    for file in kept.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    weights = copy / "network.bin"
    whole = weights.read_bytes()
    if damage == "weights":
        weights.write_bytes(bytes(len(whole)))
    elif damage == "graph":
        (copy / "network.xml").write_text("<net")
    else:
        weights.unlink()
    built = build_runtime(turning, CPU, "float32", "auto", tmp_path)
    assert built.name.startswith("OpenVINO")
    assert largest_difference(Embedder(turning, runtime="torch").embed_prepared(IMAGES), built(IMAGES)) < 1e-4
    assert weights.read_bytes() == whole
    assert converted_once == ["converted"]


def test_the_cache_keeps_the_latest_few(turning: Checkpoint, converted_once: list[str], tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}-1-2025.1").mkdir()
        (tmp_path / f"{number}-1-2025.1" / "network.xml").write_text("")
        os.utime(tmp_path / f"{number}-1-2025.1" / "network.xml", (number, number))
    (tmp_path / "mine").mkdir()
    OpenVinoRuntime(turning, tmp_path)
    kept = sorted(folder.name for folder in tmp_path.iterdir())
    assert kept[:7] == [f"{number}-1-2025.1" for number in range(3, 10)]
    assert kept[7].startswith(turning.card.fingerprint)
    assert kept[8:] == ["mine"]


def test_a_library_that_cannot_be_loaded_leaves_the_network_to_torch(
    turning: Checkpoint, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model.openvino_runtime", None)
    assert build_runtime(turning, CPU, "float32", "auto", cache).name.startswith("torch")
    with pytest.raises(EmbeddingError, match="it fails"):
        build_runtime(turning, CPU, "float32", "openvino", cache)


def test_without_a_home_it_is_kept_among_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("SANET_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert cache_of_environment() == Path(tempfile.gettempdir()) / "sanet-retrieval"


def test_a_cache_that_cannot_be_written_costs_time_alone(
    turning: Checkpoint, converted_once: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_bytes(b"")
    built = build_runtime(turning, CPU, "float32", "auto", in_the_way / "cache")
    assert built.name.startswith("OpenVINO")
    assert "the next start converts it again" in caplog.text
    assert converted_once == ["converted"]


def test_weights_of_another_network_under_its_name_are_not_believed(
    turning: Checkpoint, cache: Path, tmp_path: Path
) -> None:
    own = tmp_path / "cache"
    OpenVinoRuntime(turning, cache)
    shutil.copytree(cache, own)
    torch.manual_seed(4)
    other = Checkpoint(build_network(turning.card.config, turning.card.preprocessing).eval(), turning.card)
    built = build_runtime(other, CPU, "float32", "auto", own)
    assert built.name.startswith("OpenVINO")
    assert largest_difference(TorchRuntime(other.network, 64, CPU, "float32")(IMAGES), built(IMAGES)) < 1e-4


class Elsewhere(OpenVinoRuntime):
    """Its embeddings are a hundredth longer."""

    def __call__(self, images: NDArray[np.uint8]) -> Embeddings:
        found = super().__call__(images)
        return found._replace(embedding=found.embedding * np.float32(1.01))


def test_one_that_embeds_otherwise_is_not_used(
    turning: Checkpoint,
    cache: Path,
    converted_once: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("model.openvino_runtime.OpenVinoRuntime", Elsewhere)
    assert build_runtime(turning, CPU, "float32", "auto", cache).name.startswith("torch")
    assert "its embeddings differ by 1.0e-02 of their length" in caplog.text
    with pytest.raises(EmbeddingError, match="its embeddings differ"):
        build_runtime(turning, CPU, "float32", "openvino", cache)


def test_pieces_do_not_change_a_number(turning: Checkpoint, cache: Path) -> None:
    built = OpenVinoRuntime(turning, cache)
    whole = built(IMAGES)
    built._piece = 2
    num_pauses = 0

    def pause() -> None:
        nonlocal num_pauses
        num_pauses += 1

    with built.pausing(pause):
        in_pieces = built(IMAGES)
    assert num_pauses == 3
    assert largest_difference(whole, in_pieces) < 1e-5
    built(IMAGES)
    assert num_pauses == 3


def test_a_pause_lets_other_images_in(turning: Checkpoint, cache: Path) -> None:
    embedder = Embedder(turning, runtime="openvino", cache=cache)
    expected, others = embedder.embed_prepared(IMAGES[:3]), []
    with embedder.pausing(lambda: others.append(embedder.embed_prepared(IMAGES[3:]))):
        found = embedder.embed_prepared(IMAGES[:3])
    np.testing.assert_array_equal(found.embedding, expected.embedding)
    assert largest_difference(embedder.embed_prepared(IMAGES[3:]), others[0]) < 1e-5


@pytest.mark.parametrize(("flop", "num_images"), [(26_600_000_000, 1), (5_000_000_000, 4), (750_000_000, 26), (1, 64)])
def test_a_piece_is_about_twenty_gflop(flop: int, num_images: int) -> None:
    assert images_per_piece(flop) == num_images


@pytest.mark.parametrize(
    ("choice", "precision", "installed", "name"),
    [
        ("auto", "float32", True, "OpenVINO"),
        ("auto", "bf16", True, "torch"),
        ("auto", "float32", False, "torch"),
        ("torch", "float32", True, "torch"),
        ("openvino", "float32", True, "OpenVINO"),
        ("openvino", "bf16", True, "not in bf16 on cpu"),
        ("openvino", "float32", False, "it is not installed: pip install"),
    ],
)
def test_the_fastest_that_can_be_had_is_chosen(
    choice: RuntimeChoice,
    precision: Precision,
    installed: bool,
    name: str,
    turning: Checkpoint,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not installed:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    if name in {"torch", "OpenVINO"}:
        assert build_runtime(turning, CPU, precision, choice, cache).name.startswith(name)
    else:
        with pytest.raises(EmbeddingError, match=name):
            build_runtime(turning, CPU, precision, choice, cache)


def test_commands_take_what_the_environment_says(
    turning: Checkpoint, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANET_CACHE_DIR", str(cache))
    monkeypatch.setenv("SANET_RUNTIME", "torch")
    assert Embedder(turning).runtime.startswith("torch")
    monkeypatch.setenv("SANET_RUNTIME", "")
    assert Embedder(turning).runtime.startswith("OpenVINO")
    monkeypatch.setenv("SANET_RUNTIME", "tensorrt")
    with pytest.raises(EmbeddingError, match="SANET_RUNTIME must be one of auto, torch, openvino, got 'tensorrt'"):
        Embedder(turning)


class SignalStack(ctypes.Structure):
    """``stack_t`` of sigaltstack(2)."""

    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def signal_stack() -> tuple[int | None, int]:
    """Where this thread's signals are handled; on memory that OpenVINO has freed they would end the process."""
    stack = SignalStack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    return stack.start, stack.size


def test_signals_are_handled_where_they_were_before(turning: Checkpoint, cache: Path) -> None:
    before = signal_stack()
    first, second = (OpenVinoRuntime(turning, cache) for _ in range(2))
    for one in (first, second):
        one(IMAGES)
        assert signal_stack() == before
    del first, second, one
    gc.collect()
    assert signal_stack() == before


def test_nothing_is_told_to_anybody_about_its_use() -> None:
    assert sys.modules["openvino_telemetry"] is None
