from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from torch import Tensor

from model.build import build_network
from model.checkpoint import save_checkpoint
from model.config import BaselineConfig, SANetConfig
from model.pretrained import PretrainedError
from tests.training.runs import images_of
from training.learner import Learner, build_learner
from training.objective import Objective
from training.recipe import Recipe
from training.step import Batch, Stepper

CPU = torch.device("cpu")
LABELS = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2])
PLAIN = Recipe(backbone="resnet18", size_px=32, trunk_weights="none")
BASELINE = replace(PLAIN, architecture="baseline")
LITE = replace(PLAIN, backbone="efficientnet_lite0")
OURS = replace(
    LITE, transform="rotation", aligned="input", id_scale=16.0, neck="batchnorm", average_steps=3, num_columns=1
)


def state_of(learner: Learner) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in learner.trainee.state_dict().items()}


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(t, second[name]) for name, t in first.items())


@pytest.mark.parametrize("recipe", [PLAIN, BASELINE, OURS])
def test_a_learner_is_a_function_of_its_seed(recipe: Recipe) -> None:
    first = build_learner(recipe, 3, 5, CPU)
    torch.rand(3)
    assert same(state_of(first), state_of(build_learner(recipe, 3, 5, CPU)))
    other = state_of(build_learner(recipe, 3, 6, CPU))
    first_convolution = next(name for name in other if name.startswith("network.trunk."))
    for name in (first_convolution, "objective.classifiers.g.weight"):
        assert not torch.equal(state_of(first)[name], other[name])


def test_torchs_own_random_numbers_go_on_as_if_nothing_was() -> None:
    before = torch.random.get_rng_state()
    build_learner(OURS, 3, 0, CPU)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_recipe_says_what_is_built() -> None:
    learner = build_learner(replace(PLAIN, num_parts=3, transform="rotation", bn_eps=1e-3), 7, 0, CPU)
    assert learner.network.config == SANetConfig("resnet18", bn_eps=1e-3, num_parts=3, transform="rotation")
    parameters = dict(learner.trainee.objective.named_parameters())
    assert parameters["classifiers.td.weight"].shape == (7, 3 * 512)
    assert learner.loaded == frozenset()
    assert not learner.scaler.is_enabled()
    assert learner.trainee.necks is None
    assert learner.average is None
    assert learner.modules() == {"trainee": learner.trainee}
    first = next(learner.network.parameters())
    assert first.ndim == 4
    assert first.is_contiguous(memory_format=torch.channels_last)
    assert build_learner(BASELINE, 7, 0, CPU).network.config == BaselineConfig("resnet18")


def test_necks_and_an_average_are_built_where_the_recipe_asks_for_them() -> None:
    learner = build_learner(OURS, 3, 0, CPU)
    assert learner.trainee.necks is not None
    assert learner.average is not None
    assert learner.modules() == {"trainee": learner.trainee, "average": learner.average}
    assert learner.average.share_of(100) == 1 / 3
    assert same(state_of(learner), dict(learner.average.average.state_dict()))


@pytest.mark.parametrize(
    ("changes", "width_px"), [({}, 16), ({"num_columns": 0}, 16), ({"num_columns": 0, "size_px": 64}, 48)]
)
def test_the_trunk_sees_the_kept_columns_of_an_aligned_input_alone(changes: dict[str, Any], width_px: int) -> None:
    recipe = replace(OURS, **changes)
    learner = build_learner(recipe, 3, 0, CPU)
    seen: list[tuple[int, ...]] = []
    learner.network.trunk.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    images = images_of(LABELS, recipe.size_px)
    Stepper(learner, frozen=False).step(Batch(images, LABELS, torch.zeros(8)), 1e-3, 1.0, rng(0))
    with torch.no_grad():
        learner.network.eval()(images)
    assert seen == [(8, 3, recipe.size_px, width_px)] * 2


def test_fp16_scales_its_loss() -> None:
    assert build_learner(replace(PLAIN, precision="fp16"), 3, 0, CPU).scaler.is_enabled()
    assert not build_learner(replace(PLAIN, precision="bf16"), 3, 0, CPU).scaler.is_enabled()


@pytest.mark.parametrize(
    "options",
    [
        {"margin": 1.5}, {"id_weight": 0.25}, {"triplet_weight": 4.0}, {"label_smoothing": 0.3}, {"id_scale": 30.0},
        {"contrastive_weight": 1.0}, {"id_scale": 12.0, "id_margin": 0.3},
    ],
)  # fmt: skip
def test_the_recipes_losses_are_those_it_learns_from(options: dict[str, Any]) -> None:
    learner = build_learner(replace(LITE, **options), 3, 0, CPU)
    config, objective = learner.network.config, learner.trainee.objective
    embedding = torch.randn(8, config.embedding_dim, generator=torch.Generator().manual_seed(1))
    branches = torch.split(embedding, [512, 1024, 1024], dim=1)
    totals = []
    for changes in (options, {}):
        fresh = Objective(config, 3, replace(LITE, **changes))
        fresh.load_state_dict(objective.state_dict(), strict=changes == options)
        totals.append(fresh(branches, LABELS)["total"].item())
    total = objective(branches, LABELS)["total"].item()
    assert total == pytest.approx(totals[0], rel=1e-5)
    assert total != pytest.approx(totals[1], rel=1e-3)


def test_weights_of_a_file_are_loaded_and_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    state = torchvision.models.resnet18(weights=None).state_dict()
    safetensors.torch.save_file({name: torch.full_like(tensor, 3) for name, tensor in state.items()}, path)
    learner = build_learner(replace(PLAIN, trunk_weights=str(path)), 3, 0, CPU)
    own = learner.network.state_dict()
    assert learner.loaded == {name for name, tensor in own.items() if (tensor == 3).all()}
    assert learner.loaded == {name for name in own if name.startswith("trunk.") or ".layer4." in name}
    with pytest.raises(PretrainedError, match="cannot read the weights"):
        build_learner(replace(PLAIN, trunk_weights="absent.pth"), 3, 0, CPU)


@pytest.mark.parametrize(
    "changes",
    [{"architecture": "baseline"}, {"num_parts": 0}, {"num_parts": 0, "aligned": "input", "transform": "rotation"}],
)
def test_weights_that_leave_nothing_to_learn_while_they_are_frozen_are_refused(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    small = replace(PLAIN, **{"num_parts": 0, "transform": "none", "frozen_epochs": 1, **changes})
    aligns_nothing = replace(small, aligned="map", transform="none")
    network = build_network(aligns_nothing.network_config(), aligns_nothing.preprocessing())
    save_checkpoint(tmp_path / "a.safetensors", network, aligns_nothing.preprocessing(), {"trained": False})
    recipe = replace(small, trunk_weights=str(tmp_path / "a.safetensors"))
    build_learner(recipe, 3, 0, CPU)  # classifiers learn
    without_classifiers = replace(recipe, id_weight=0.0, contrastive_weight=1.0)
    with pytest.raises(PretrainedError, match="nothing would be learned; set frozen_epochs to 0"):
        build_learner(without_classifiers, 3, 0, CPU)
    build_learner(replace(without_classifiers, frozen_epochs=0), 3, 0, CPU)


def test_a_heading_is_taken_over_from_a_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "headed.safetensors"
    other = replace(OURS, num_parts=1, num_columns=0)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(8)
        source = build_network(other.network_config(), other.preprocessing())
    save_checkpoint(path, source, other.preprocessing(), {"trained": True, "data": None})
    learner, fresh = (build_learner(replace(OURS, heading_weights=w), 3, 0, CPU) for w in (str(path), "none"))
    assert learner.loaded == learner.held == fresh.held
    theirs, own = source.state_dict(), learner.network.state_dict()
    assert all(torch.equal(own[name], theirs[name]) for name in learner.held)
    assert any(not torch.equal(own[name], fresh.network.state_dict()[name]) for name in learner.held)
    for name, tensor in fresh.network.state_dict().items():
        assert name in fresh.held or torch.equal(tensor, own[name])
    # The average starts with it.
    assert learner.average is not None
    averaged = learner.average.average.network.state_dict()
    assert all(torch.equal(averaged[name], theirs[name]) for name in learner.held)
    with pytest.raises(PretrainedError, match="aligns no input"):
        build_learner(replace(PLAIN, heading_weights=str(path)), 3, 0, CPU)


def test_only_an_aligned_inputs_heading_is_held() -> None:
    assert build_learner(PLAIN, 3, 0, CPU).held == frozenset()
    assert build_learner(BASELINE, 3, 0, CPU).held == frozenset()
    learner = build_learner(OURS, 3, 0, CPU)
    assert learner.held == {n for n in learner.network.state_dict() if n.startswith("input_alignment.")}
    assert {name.rpartition(".")[2] for name in learner.held} >= {"pattern", "zero_rad", "weight", "running_var"}


# --- what the training has come to


def after_steps(recipe: Recipe, num_steps: int = 3) -> tuple[Learner, list[dict[str, Tensor]]]:
    """A learner, and its state after each of its steps."""
    learner = build_learner(recipe, 3, 0, CPU)
    stepper = Stepper(learner, frozen=False)
    states = []
    headings = torch.zeros(8) if recipe.aligned == "input" else None
    for step in range(num_steps):
        share = 0.0 if learner.average is None else learner.average.share_of(step)
        stepper.step(Batch(images_of(LABELS), LABELS, headings), 1e-3, share, rng(step))
        states.append(state_of(learner))
    return learner, states


def test_without_an_average_the_result_is_the_network_as_it_is() -> None:
    learner, _ = after_steps(replace(LITE, mixstyle_p=1.0, channel_drop=0.5))
    result = learner.result()
    assert not any(module.training for module in result.modules())
    assert same(dict(result.state_dict()), dict(learner.network.state_dict()))
    assert result is not learner.network
    with torch.no_grad():  # what is hooked into the trunk while training does nothing here
        plain = build_network(learner.network.config, LITE.preprocessing()).eval()
        plain.load_state_dict(result.state_dict())
        images = images_of(LABELS)[:3]
        torch.testing.assert_close(result(images).embedding, plain(images).embedding, rtol=1e-3, atol=1e-4)


def test_with_an_average_and_necks_the_result_is_the_folded_mean() -> None:
    learner, states = after_steps(OURS)
    mean = {name: torch.stack([state[name].double() for state in states]).mean(dim=0) for name in states[0]}
    result = learner.result().state_dict()
    for name, tensor in result.items():
        if "reduction" not in name and tensor.is_floating_point():
            torch.testing.assert_close(tensor.double(), mean[f"network.{name}"], rtol=1e-4, atol=1e-5)
    deviation = (mean["necks.norms.0.running_var"] + 1e-5).sqrt()
    name = "global_branch.reduction"
    weight = mean[f"network.{name}.weight"] / deviation[:, None, None, None]
    torch.testing.assert_close(result[f"{name}.weight"].double(), weight, rtol=1e-4, atol=1e-5)
    bias = (mean[f"network.{name}.bias"] - mean["necks.norms.0.running_mean"]) / deviation
    torch.testing.assert_close(result[f"{name}.bias"].double(), bias, rtol=1e-4, atol=1e-4)


def test_the_result_is_apart_from_what_goes_on_training() -> None:
    learner, _ = after_steps(OURS, 1)
    before = state_of(learner)
    result = learner.result()
    with torch.no_grad():
        for tensor in result.state_dict().values():
            tensor.fill_(3)
    assert same(state_of(learner), before)
    assert learner.network.training
