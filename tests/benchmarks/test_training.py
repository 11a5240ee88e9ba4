import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks import training as benchmark
from model.build import build_network
from tests.training.runs import small_recipe, write_vehicles
from training.recipe import Recipe, TrainingPrecision

STEP = (
    "images_per_s",
    "gflop_per_image",
    "peak_gflop_per_s",
    "peak_share",
    "gb_per_image",
    "copy_gb_per_s",
    "floor_share",
)


def tiny(architecture: str = "baseline", precision: TrainingPrecision = "float32") -> Recipe:
    return small_recipe(architecture=architecture, backbone="resnet18", precision=precision)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small networks, a small product and a small copy, one thread; this process's memory stays as it is."""

    def product(dtype: torch.dtype, device: torch.device) -> tuple[Callable[[], object], int]:
        a = torch.randn(64, 64, device=device).to(dtype)
        return lambda: a @ a, 2 * 64**3

    def copy(device: torch.device) -> tuple[Callable[[], object], int]:
        a = torch.ones(1000, device=device)
        return a.clone, 2 * 4000

    monkeypatch.setattr(benchmark, "matrix_product", product)
    monkeypatch.setattr(benchmark, "copy", copy)
    monkeypatch.setattr(benchmark, "reuse_memory", lambda: None)
    monkeypatch.setattr(benchmark, "_NUM_LABELS", 5)
    recipes = {"sanet_paper": lambda: tiny("sanet"), "baseline_paper": tiny}
    monkeypatch.setattr(benchmark, "RECIPES", recipes)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


def measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    monkeypatch.setattr(sys, "argv", ["benchmarks.training", *map(str, arguments), "--device", "cpu"])
    assert benchmark.main() == 0
    *_, last = capsys.readouterr().out.splitlines()
    result: dict[str, Any] = json.loads(last)
    return result


def assert_positive(row: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        assert isinstance(row[name], float), name
        assert math.isfinite(row[name]), name
        assert row[name] > 0, name


def test_the_benchmark_prints_its_headline_as_one_json_object(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = measured(monkeypatch, capsys, "--quick", "--json", "--precision", "float32")
    assert_positive(result["headline"], ("images_per_s", "peak_share", "loader_ratio"))
    sanet, baseline, loader = result["rows"]
    for row, network in ((sanet, "sanet"), (baseline, "baseline")):
        assert_positive(row, STEP)
        assert (row["network"], row["batch"], row["size_px"], row["precision"]) == (network, 8, 32, "float32")
    assert_positive(loader, ("cold_images_per_s", "cached_images_per_s"))
    assert loader["num_images"] == 64 * 8
    headline = result["headline"]
    assert (headline["images_per_s"], headline["peak_share"]) == (sanet["images_per_s"], sanet["peak_share"])
    assert headline["loader_ratio"] == pytest.approx(loader["cold_images_per_s"] / sanet["images_per_s"])
    assert result["machine"]["device"] == "cpu"


def test_the_loader_reads_what_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "measure_step", lambda *_: {"images_per_s": 2.0, "peak_share": 0.5})
    data = write_vehicles(tmp_path / "vehicles", 3, 2)
    result = measured(monkeypatch, capsys, "--data", data, "--quick", "--json")
    assert (result["rows"][-1]["loader"], result["rows"][-1]["num_images"]) == ("vehicles", 6)
    assert result["headline"]["loader_ratio"] == result["rows"][-1]["cold_images_per_s"] / 2


def naive_flop(network: nn.Module, images: Tensor) -> int:
    """Of the convolutions of a step: forward, and backward to weights and, but for the first, to inputs."""
    found: list[int] = []

    def count(module: nn.Module, _: Any, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        forward = 2 * output.numel() * module.weight[0].numel()
        found.append(forward * (3 if found else 2))

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(images)
    return sum(found)


def test_the_operations_are_those_of_the_convolutions_and_little_else() -> None:
    recipe = tiny()
    with tqdm(disable=True) as bar:
        row = benchmark.measure_step(recipe, torch.device("cpu"), 1, bar)
    network = build_network(recipe.network_config(), recipe.preprocessing())
    expected = naive_flop(network, torch.zeros(8, 3, 32, 32, dtype=torch.uint8)) / 8 / 1e9
    assert expected <= row["gflop_per_image"] <= 1.01 * expected


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--batch", "1"), "num_identities must be 1 or more, got 0"),
        (("--batch", "0"), "argument --batch: expected 1 or more, got 0"),
        (("--batch", "-8"), "argument --batch: expected 1 or more, got -8"),
        (("--rounds", "0"), "argument --rounds: expected 1 or more, got 0"),
        (("--device", "cuda:99"), "cuda:99"),
    ],
)
def test_what_cannot_be_timed_is_a_wrong_argument(
    arguments: tuple[str, ...], reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks.training", *arguments])
    with pytest.raises(SystemExit, match="2"):
        benchmark.main()
    assert reason in capsys.readouterr().err
