import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks import embed as benchmark
from benchmarks.embedding_engines import Engine, Images, engines
from model.checkpoint import Checkpoint, load_checkpoint
from model.embedder import Embedder

CPU = torch.device("cpu")
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)


@pytest.fixture(autouse=True)
def small_product(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def product(precision: str, device: torch.device) -> tuple[Callable[[], object], int]:
        a = torch.randn(64, 64)
        return lambda: a @ a, 2 * 64**3

    monkeypatch.setattr(benchmark, "fastest_product", product)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


def quick_engines(
    checkpoint: Checkpoint, device: torch.device, threads: int
) -> Iterator[tuple[str, Callable[[], Engine]]]:
    """The embedder, the eager network, and one that is not installed: no compiler is waited for."""
    made = {name: make for name, make in engines(checkpoint, device, threads) if name in {"ours", "eager, one by one"}}
    yield from made.items()

    def missing() -> Engine:
        raise ImportError("No module named 'fast'\nand more")

    yield "fast", missing


def test_the_benchmark_prints_its_headline_as_one_json_object(
    small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "engines", quick_engines)
    arguments = ["benchmarks.embed", "--checkpoint", str(small_checkpoint), "--quick", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--json"])
    assert benchmark.main() == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    rows = {(row["network"], row["engine"]): row for row in result["rows"]}
    assert {network for network, _ in rows} == {"SANet-R50 at 256 px", "small"}
    for (_, engine), row in rows.items():
        if engine == "fast":
            assert row["not_run"] == "ImportError: No module named 'fast'"
            continue
        assert all(math.isfinite(row[key]) and row[key] > 0 for key in ("images_per_s", "gflop_per_s", "peak_share"))
        assert row["relative_error"] < 1e-4
    ours, single = (rows["SANet-R50 at 256 px", name] for name in ("ours", "eager, one by one"))
    assert (ours["batch"], single["batch"]) == (4, 1)
    assert result["headline"] == {
        "images_per_s": ours["images_per_s"],
        "peak_share": ours["peak_share"],
        "speedup_vs_eager_single": pytest.approx(ours["images_per_s"] / single["images_per_s"]),
    }
    monkeypatch.setattr(sys, "argv", arguments)
    assert benchmark.main() == 0
    assert "of the peak" in capsys.readouterr().out


def test_every_engine_embeds_as_the_embedder(small_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(small_checkpoint)
    expected = Embedder(checkpoint).embed_prepared(IMAGES).embedding
    made = dict(engines(checkpoint, CPU, 1))
    assert {"ours", "eager, one by one", "eager", "torch.compile", "ONNX Runtime", "OpenVINO"} <= set(made)
    for name in ("ours", "eager", "ONNX Runtime", "OpenVINO"):
        engine = made[name]()
        assert (engine.name, engine.precision) == (name, "float32")
        error = np.linalg.norm(engine.embed(IMAGES) - expected, axis=1) / np.linalg.norm(expected, axis=1)
        assert error.max() < 1e-4


def test_a_share_is_the_floor_beside_the_batch(small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of a known rate, batches of a known time."""

    def slow(images: Images) -> NDArray[np.float32]:
        return np.zeros((len(images), 2560), np.float32)

    def only_slow(*_: object) -> list[tuple[str, Callable[[], Engine]]]:
        return [("slow", lambda: Engine("slow", "float32", slow))]

    def known_seconds(work: Callable[[], object], device: torch.device) -> float:
        return 2.0 if isinstance(work, partial) else 0.5

    monkeypatch.setattr(benchmark, "engines", only_slow)
    monkeypatch.setattr(benchmark, "seconds", known_seconds)
    monkeypatch.setattr(benchmark, "fastest_product", lambda *_: (lambda: None, 10**9))
    args = argparse.Namespace(device="cpu", batch=4, rounds=3)
    checkpoint = load_checkpoint(small_checkpoint)
    with tqdm(disable=True) as bar:
        (row,) = benchmark.measure_network("small", checkpoint, args, bar)
    flop, _ = benchmark._reference(checkpoint, np.zeros((4, 64, 64, 3), np.uint8), CPU)
    assert row["images_per_s"] == 2.0
    assert row["gflop_per_s"] == pytest.approx(flop / 2e9)
    assert row["peak_share"] == pytest.approx(flop / (10**9 / 0.5) / 2.0)
