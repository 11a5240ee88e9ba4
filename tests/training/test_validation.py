import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from index.datasets.task import Task
from index.ranking.evaluation import evaluate
from model.build import build_network
from model.checkpoint import Checkpoint, ModelCard
from model.embedder import Embedder
from model.embeddings import EmbeddingError
from model.image import ImageError
from tests.training.runs import small_recipe, write_vehicles
from training import validation as validation_module
from training.data import training_data
from training.datasets.opening import open_data
from training.recipe import Recipe
from training.validation import Validation

CPU = torch.device("cpu")
RECIPE = small_recipe(backbone="resnet18")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vehicles(tmp_path_factory.mktemp("vehicles"), 6, 3)


def task_of(data: Path) -> Task:
    task = training_data(open_data(data), "train").validation
    assert task is not None
    return task


def checkpoint_of(recipe: Recipe) -> Checkpoint:
    """Fresh weights, whose BatchNorm has seen something."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        network = build_network(recipe.network_config(), recipe.preprocessing())
        with torch.no_grad():
            network.train()(torch.rand(8, 3, 32, 32))
    card = ModelCard(recipe.network_config(), recipe.preprocessing(), "", {"trained": False}, None, None)
    return Checkpoint(network.eval(), card)


@pytest.mark.parametrize("batch_size", [256, 5])
@pytest.mark.parametrize(
    "changes", [{}, {"architecture": "sanet", "num_parts": 1, "transform": "rotation", "aligned": "input"}]
)
def test_the_figures_are_those_of_the_evaluation(
    changes: dict[str, Any], batch_size: int, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation_module, "_BATCH_SIZE_ON_CPU", batch_size)
    recipe = dataclasses.replace(RECIPE, **changes)
    checkpoint, task = checkpoint_of(recipe), task_of(data)
    expected = evaluate(task, recipe.preprocessing(), Embedder(checkpoint).embed_prepared)
    found = Validation(task, recipe.preprocessing())(checkpoint.network, recipe, CPU)
    assert (found.cmc1, found.cmc5) == (expected.cmc(1), expected.cmc(5))
    assert (found.map, found.minp) == pytest.approx((expected.map, expected.minp), abs=1e-9)
    assert 0 < found.map < 1


def test_its_images_are_read_once(data: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(data, tmp_path / "own"))
    done: list[int] = []
    validation = Validation(task_of(own), RECIPE.preprocessing(), done.append)
    assert sum(done) == 18
    shutil.rmtree(own)
    network = checkpoint_of(RECIPE).network
    assert validation(network, RECIPE, CPU) == validation(network, RECIPE, CPU)


def test_an_image_that_cannot_be_used_is_an_error_that_names_it(data: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(data, tmp_path / "own"))
    path = own / "vehicle2" / "1.png"
    task = task_of(own)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ImageError, match=r"vehicle2.1\.png: the image is damaged"):
        Validation(task, RECIPE.preprocessing())
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"vehicle2.1\.png"):
        Validation(task, RECIPE.preprocessing())


def test_a_network_that_is_lost_has_no_figures(data: Path) -> None:
    network = checkpoint_of(RECIPE).network
    with torch.no_grad():
        next(network.parameters()).fill_(np.nan)
    with pytest.raises(EmbeddingError):
        Validation(task_of(data), RECIPE.preprocessing())(network, RECIPE, CPU)


def test_a_network_that_trains_in_bf16_is_scored_in_it(data: Path) -> None:
    network = checkpoint_of(RECIPE).network
    seen: list[torch.dtype] = []
    network.trunk.get_submodule("layer1").register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    validation = Validation(task_of(data), RECIPE.preprocessing())
    for precision in ("bf16", "float32", "fp16"):
        validation(network, dataclasses.replace(RECIPE, precision=precision), CPU)
    assert seen == [torch.bfloat16, torch.float32, torch.float32]
