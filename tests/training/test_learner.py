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
from model.config import BaselineConfig, SANetConfig
from model.pretrained import PretrainedError
from training.augmentation import augment, draw_augmentation
from training.learner import Learner, Phase, build_learner
from training.objective import Objective
from training.recipe import Recipe

CPU = torch.device("cpu")
LABELS = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2])
# Nothing is drawn, so that a batch stays as it is.
PLAIN = Recipe(
    backbone="resnet18", size_px=32, trunk_weights="none", weight_decay=0.0, jitter_p=0.0, erasing_p=0.0, margin=0.3
)
BASELINE = replace(PLAIN, architecture="baseline")


def images_of(seed: int = 0) -> Tensor:
    """Eight pictures in the trainer's layout; those of a vehicle are of one colour."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 200, (3, 1, 1, 3))[LABELS.numpy()]
    pixels = (colours + rng.integers(0, 56, (8, 32, 32, 3))).astype(np.uint8)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def state_of(learner: Learner) -> dict[str, Tensor]:
    network = {name: tensor.clone() for name, tensor in learner.network.state_dict().items()}
    return network | {f"objective.{name}": t.clone() for name, t in learner.objective.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(t, second[name]) for name, t in first.items())


def steps(recipe: Recipe, num_steps: int, learning_rate: float = 1e-3, seed: int = 0) -> tuple[Learner, list[float]]:
    """A learner after some steps on one batch, and the total at each."""
    learner = build_learner(recipe, 3, seed, CPU)
    phase = Phase(learner, frozen=False)
    totals = []
    for step in range(num_steps):
        terms, _ = phase.step(images_of(), LABELS, learning_rate, np.random.default_rng(step))
        totals.append(terms["total"].item())
    return learner, totals


def gradients_of(learner: Learner) -> list[Tensor]:
    parameters = [*learner.network.parameters(), *learner.objective.parameters()]
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def norm_of(learner: Learner) -> float:
    return float(sum(gradient.double().square().sum() for gradient in gradients_of(learner)) ** 0.5)


@pytest.mark.parametrize("recipe", [PLAIN, BASELINE])
def test_a_learner_is_a_function_of_its_seed(recipe: Recipe) -> None:
    first = build_learner(recipe, 3, 5, CPU)
    torch.rand(3)
    assert same(state_of(first), state_of(build_learner(recipe, 3, 5, CPU)))
    other = state_of(build_learner(recipe, 3, 6, CPU))
    for name in ("trunk.conv1.weight", "objective.classifiers.g.weight"):
        assert not torch.equal(state_of(first)[name], other[name])


def test_torchs_own_random_numbers_go_on_as_if_nothing_was() -> None:
    before = torch.random.get_rng_state()
    steps(replace(BASELINE, jitter_p=0.5, erasing_p=0.5), 1)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_recipe_says_what_is_built() -> None:
    learner = build_learner(replace(PLAIN, num_parts=3, transform="rotation", bn_eps=1e-3), 7, 0, CPU)
    assert learner.network.config == SANetConfig("resnet18", bn_eps=1e-3, num_parts=3, transform="rotation")
    assert dict(learner.objective.named_parameters())["classifiers.td.weight"].shape == (7, 3 * 512)
    assert learner.loaded == frozenset()
    assert not learner.scaler.is_enabled()
    first = next(learner.network.parameters())
    assert first.ndim == 4
    assert first.is_contiguous(memory_format=torch.channels_last)
    assert build_learner(BASELINE, 7, 0, CPU).network.config == BaselineConfig("resnet18")


def test_fp16_scales_its_loss() -> None:
    assert build_learner(replace(PLAIN, precision="fp16"), 3, 0, CPU).scaler.is_enabled()
    assert not build_learner(replace(PLAIN, precision="bf16"), 3, 0, CPU).scaler.is_enabled()


@pytest.mark.parametrize(
    "options",
    [{"margin": 1.5}, {"id_weight": 0.25}, {"triplet_weight": 4.0}, {"label_smoothing": 0.3}],
)
def test_the_recipes_losses_are_those_it_learns_from(options: dict[str, Any]) -> None:
    learner = build_learner(replace(PLAIN, **options), 3, 0, CPU)
    config = SANetConfig("resnet18")
    embedding = torch.randn(8, config.embedding_dim, generator=torch.Generator().manual_seed(1))
    totals = []
    for objective in (Objective(config, 3, **options), Objective(config, 3)):
        objective.load_state_dict(learner.objective.state_dict())
        totals.append(objective(embedding, LABELS)["total"].item())
    total = learner.objective(embedding, LABELS)["total"].item()
    assert total == pytest.approx(totals[0], rel=1e-5)
    assert total != pytest.approx(totals[1], rel=1e-3)


def test_the_recipes_scale_of_cosines_is_the_one_it_learns_from() -> None:
    learner = build_learner(replace(PLAIN, id_scale=12.0), 3, 0, CPU)
    embedding = torch.randn(8, learner.network.config.embedding_dim, generator=torch.Generator().manual_seed(1))
    totals = {}
    for scale in (3.0, 12.0):
        objective = Objective(learner.network.config, 3, id_scale=scale)
        objective.load_state_dict(learner.objective.state_dict())
        totals[scale] = objective(embedding, LABELS)["total"].item()
    total = learner.objective(embedding, LABELS)["total"].item()
    assert total == pytest.approx(totals[12.0], rel=1e-5)
    assert total != pytest.approx(totals[3.0], rel=1e-3)


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


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("recipe", [PLAIN, BASELINE], ids=["sanet", "baseline"])
def test_a_few_steps_reduce_the_loss(recipe: Recipe, precision: Any) -> None:
    learner, totals = steps(replace(recipe, precision=precision), 6)
    assert totals[-1] < 0.5 * totals[0]
    assert all(tensor.isfinite().all() for tensor in state_of(learner).values())
    assert all(parameter.dtype == torch.float32 for parameter in learner.network.parameters())


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bf16", torch.bfloat16)])
def test_the_precision_is_that_of_the_network_and_not_of_the_loss(precision: Any, dtype: torch.dtype) -> None:
    learner = build_learner(replace(PLAIN, precision=precision), 3, 0, CPU)
    seen: dict[str, torch.dtype] = {}

    def watch(name: str) -> Any:
        return lambda _, inputs, output: seen.update({name: output.dtype, f"{name} input": inputs[0].dtype})

    learner.network.get_submodule("trunk.conv1").register_forward_hook(watch("convolution"))
    learner.objective.classifiers["g"].register_forward_hook(watch("classifier"))
    terms, theta = Phase(learner, frozen=False).step(images_of(), LABELS, 1e-3, np.random.default_rng(0))
    assert seen == {
        "convolution": dtype,
        "convolution input": torch.float32,
        "classifier": torch.float32,
        "classifier input": torch.float32,
    }
    assert all(term.dtype == torch.float32 and term.shape == () for term in terms.values())
    assert (theta.shape, theta.dtype) == ((8, 2, 3), torch.float32)


def test_a_step_is_that_of_a_network_an_objective_and_adam_by_hand() -> None:
    recipe = replace(PLAIN, jitter_p=0.8, erasing_p=0.8, weight_decay=0.0, alignment_factor=1.0)
    learner = build_learner(recipe, 3, 0, CPU)
    network, objective = build_network(SANetConfig("resnet18")), Objective(SANetConfig("resnet18"), 3)
    network.load_state_dict(learner.network.state_dict())
    objective.load_state_dict(learner.objective.state_dict())
    adam = torch.optim.Adam([*network.parameters(), *objective.parameters()], lr=1e-3)
    phase = Phase(learner, frozen=False)
    for step in range(2):
        terms, theta = phase.step(images_of(), LABELS, 1e-3, np.random.default_rng(step))
        drawn = draw_augmentation(recipe, 8, np.random.default_rng(step))
        output = network(augment(images_of(), drawn, torch.tensor([0.485, 0.456, 0.406])))
        expected = objective(output.embedding, LABELS)
        adam.zero_grad()
        expected["total"].backward()
        adam.step()
        assert {name: term.item() for name, term in terms.items()} == pytest.approx(
            {name: term.item() for name, term in expected.items()}, rel=1e-3, abs=1e-3
        )
        torch.testing.assert_close(theta, output.theta, rtol=1e-3, atol=1e-3)


def test_the_same_seed_learns_the_same_and_another_does_not() -> None:
    recipe = replace(BASELINE, jitter_p=0.5, erasing_p=0.5, flip_p=0.5)
    (first, totals), (again, same_totals), (other, _) = steps(recipe, 2), steps(recipe, 2), steps(recipe, 2, seed=1)
    assert totals == same_totals
    assert same(state_of(first), state_of(again))
    assert not same(state_of(first), state_of(other))


def test_the_generator_of_a_step_decides_its_augmentation() -> None:
    totals = []
    for seed in (1, 1, 2):
        learner = build_learner(replace(BASELINE, jitter_p=1.0), 3, 0, CPU)
        terms, _ = Phase(learner, frozen=False).step(images_of(), LABELS, 0.0, np.random.default_rng(seed))
        totals.append(terms["total"].item())
    assert totals[0] == totals[1] != totals[2]


def test_gradients_are_clipped_to_the_norm_together() -> None:
    free, clipped, roomy = (steps(replace(BASELINE, clip_norm=norm), 1)[0] for norm in (0.0, 0.01, 1e6))
    norm = norm_of(free)
    assert norm > 1
    assert norm_of(clipped) == pytest.approx(0.01, rel=1e-3)
    assert norm_of(roomy) == norm
    for gradient, short in zip(gradients_of(free), gradients_of(clipped), strict=True):
        torch.testing.assert_close(short, gradient * (0.01 / norm), rtol=1e-3, atol=1e-7)


def test_scaled_gradients_are_clipped_as_if_they_were_not_scaled() -> None:
    learner = build_learner(replace(BASELINE, clip_norm=0.01), 3, 0, CPU)
    learner = replace(learner, scaler=torch.amp.GradScaler("cpu", init_scale=16.0))
    Phase(learner, frozen=False).step(images_of(), LABELS, 1e-3, np.random.default_rng(0))
    assert norm_of(learner) == pytest.approx(0.01, rel=1e-3)
    assert state_of(learner)["trunk.conv1.weight"].isfinite().all()


def test_a_step_whose_scaled_gradients_overflow_is_left_out_and_the_scale_falls() -> None:
    learner = build_learner(BASELINE, 3, 0, CPU)
    learner = replace(learner, scaler=torch.amp.GradScaler("cpu", init_scale=2.0**127))
    before = {name: parameter.detach().clone() for name, parameter in learner.network.named_parameters()}
    Phase(learner, frozen=False).step(images_of(), LABELS, 1e-3, np.random.default_rng(0))
    assert learner.scaler.get_scale() == 2.0**126
    assert all(torch.equal(parameter, before[name]) for name, parameter in learner.network.named_parameters())


def test_gradients_do_not_pile_up_from_step_to_step() -> None:
    once, _ = steps(BASELINE, 1, learning_rate=0.0)
    twice, _ = steps(BASELINE, 2, learning_rate=0.0)
    assert norm_of(twice) == pytest.approx(norm_of(once), rel=1e-4)


def test_a_learning_rate_of_0_changes_nothing_but_batchnorm_statistics() -> None:
    before = state_of(build_learner(replace(PLAIN, weight_decay=0.1), 3, 0, CPU))
    after = state_of(steps(replace(PLAIN, weight_decay=0.1), 2, learning_rate=0.0)[0])
    statistics = {name for name in before if name.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    assert {name for name, tensor in after.items() if not torch.equal(tensor, before[name])} == statistics


def test_the_alignment_learns_at_its_share_of_the_rate() -> None:
    learner, _ = steps(replace(PLAIN, alignment_factor=0.05), 1, learning_rate=1e-3)
    before = state_of(build_learner(PLAIN, 3, 0, CPU))
    # Adam's first step is the learning rate, in the direction of the gradient.
    for name, rate in (("alignment.localization.11.bias", 5e-5), ("global_branch.reduction.weight", 1e-3)):
        change = (learner.network.state_dict()[name] - before[name]).abs()
        assert change.max().item() == pytest.approx(rate, rel=0.01), name


def test_a_step_leaves_its_images_alone() -> None:
    images = images_of()
    learner = build_learner(replace(BASELINE, jitter_p=1.0, erasing_p=1.0, flip_p=1.0), 3, 0, CPU)
    Phase(learner, frozen=False).step(images, LABELS, 1e-3, np.random.default_rng(0))
    assert torch.equal(images, images_of())


INPUT_ALIGNED = replace(PLAIN, transform="rotation", aligned="input", id_scale=16.0)


@pytest.mark.parametrize("frozen", [False, True])
def test_an_aligned_inputs_heading_is_held_whatever_trains(frozen: bool) -> None:
    # With decay, which moves what has no gradient but zeros.
    learner = build_learner(replace(INPUT_ALIGNED, weight_decay=0.1), 3, 0, CPU)
    before = state_of(learner)
    assert learner.held == {name for name in before if name.startswith("input_alignment.")}
    assert {name.rpartition(".")[2] for name in learner.held} >= {"pattern", "zero_rad", "weight", "running_var"}
    phase = Phase(learner, frozen=frozen)
    for step in range(2):
        learner.network.eval()  # as a validation leaves it
        phase.begin_epoch()
        _, theta = phase.step(images_of(), LABELS, 1e-2, np.random.default_rng(step))
        assert (theta - torch.eye(2, 3)).abs().max() > 0.1
    after = state_of(learner)
    still = {name for name, tensor in after.items() if torch.equal(tensor, before[name])}
    normalization = {name for name in before if name.startswith("normalization.")}
    assert still == learner.held | normalization


def test_nothing_else_is_held() -> None:
    assert build_learner(PLAIN, 3, 0, CPU).held == frozenset()
    assert build_learner(BASELINE, 3, 0, CPU).held == frozenset()


def test_the_baseline_aligns_nothing() -> None:
    learner = build_learner(BASELINE, 3, 0, CPU)
    terms, theta = Phase(learner, frozen=False).step(images_of(), LABELS, 1e-3, np.random.default_rng(0))
    assert terms.keys() == {"total", "id_g", "triplet_g"}
    assert torch.equal(theta, torch.eye(2, 3).expand(8, 2, 3))
