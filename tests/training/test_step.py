from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model.build import build_network
from model.normalization import Normalization
from tests.training.runs import images_of
from training.augmentation import Augmenter, draw
from training.learner import Learner, build_learner
from training.objective import Objective
from training.recipe import Recipe
from training.step import Batch, Outcome, Stepper

CPU = torch.device("cpu")
LABELS = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2])
# Nothing is drawn, so that a batch stays as it is.
PLAIN = Recipe(
    backbone="resnet18", size_px=32, trunk_weights="none", weight_decay=0.0, jitter_p=0.0, erasing_p=0.0, margin=0.3
)
BASELINE = replace(PLAIN, architecture="baseline")
OURS = replace(
    PLAIN, backbone="efficientnet_lite0", transform="rotation", aligned="input", num_parts=1, neck="batchnorm",
    average_steps=4, id_scale=16.0, id_margin=0.1, triplet_weight=0.0, contrastive_weight=1.0,
)  # fmt: skip
AUGMENTED = {
    "flip_p": 0.5, "turn_deg": 8.0, "half_turn_p": 0.1, "scale": 0.15, "shift": 0.03, "jitter_p": 0.8, "cast": 0.03,
    "grey_p": 0.2, "blur_p": 0.4, "noise": 0.05, "background_p": 0.5, "erasing_p": 0.5, "mixstyle_p": 0.5,
    "channel_drop": 0.2,
}  # fmt: skip


def batch(recipe: Recipe, num: int = 8) -> Batch:
    """Of the recipe's vehicles; those of one identity are of one colour."""
    images = images_of(LABELS, channels=4 if recipe.background_p else 3)
    headings = torch.linspace(-3, 3, 8) if recipe.aligned == "input" else None
    return Batch(images[:num], LABELS[:num], None if headings is None else headings[:num])


def take(learner: Learner, stepper: Stepper, step: int, rate: float = 1e-3, rng_seed: int | None = None) -> Outcome:
    share = 0.0 if learner.average is None else learner.average.share_of(step)
    rng = np.random.default_rng(step if rng_seed is None else rng_seed)
    return stepper.step(batch(learner.recipe), rate, share, rng)


def one_step(learner: Learner, rate: float = 1e-3, seed: int = 0) -> Outcome:
    return take(learner, Stepper(learner, frozen=False), 0, rate, seed)


def state_of(learner: Learner) -> dict[str, Tensor]:
    return {
        f"{prefix}.{name}": tensor.clone()
        for prefix, module in learner.modules().items()
        for name, tensor in module.state_dict().items()
    }


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(t, second[name]) for name, t in first.items())


def steps(recipe: Recipe, num_steps: int, learning_rate: float = 1e-3, seed: int = 0) -> tuple[Learner, list[float]]:
    """A learner after some steps on one batch, and the total at each."""
    learner = build_learner(recipe, 3, seed, CPU)
    stepper = Stepper(learner, frozen=False)
    totals = [take(learner, stepper, step, learning_rate).terms["total"].item() for step in range(num_steps)]
    return learner, totals


def gradients_of(learner: Learner) -> list[Tensor]:
    return [parameter.grad for parameter in learner.trainee.parameters() if parameter.grad is not None]


def norm_of(learner: Learner) -> float:
    return float(sum(gradient.double().square().sum() for gradient in gradients_of(learner)) ** 0.5)


def test_torchs_own_random_numbers_go_on_as_if_nothing_was() -> None:
    before = torch.random.get_rng_state()
    steps(replace(OURS, **AUGMENTED), 1)  # type: ignore[arg-type]
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("recipe", [PLAIN, BASELINE, OURS], ids=["sanet", "baseline", "ours"])
def test_a_few_steps_reduce_the_loss(recipe: Recipe, precision: Any) -> None:
    learner, totals = steps(replace(recipe, precision=precision), 6)
    assert totals[-1] < (0.8 if recipe is OURS else 0.5) * totals[0]
    assert all(tensor.isfinite().all() for tensor in state_of(learner).values())
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in state_of(learner).values())


def test_a_step_is_that_of_a_network_an_objective_and_adam_by_hand() -> None:
    recipe = replace(PLAIN, jitter_p=0.8, erasing_p=0.8, weight_decay=0.0, alignment_factor=1.0)
    learner = build_learner(recipe, 3, 0, CPU)
    network = build_network(recipe.network_config())
    objective = Objective(network.config, 3, recipe)
    network.load_state_dict(learner.network.state_dict())
    objective.load_state_dict(learner.trainee.objective.state_dict())
    adam = torch.optim.Adam([*network.parameters(), *objective.parameters()], lr=1e-3)
    augmenter = Augmenter(recipe, Normalization(), 32)
    stepper = Stepper(learner, frozen=False)
    for step in range(2):
        outcome = take(learner, stepper, step)
        drawn = draw(recipe, 8, np.random.default_rng(step))
        branches, theta = network.branch_features(augmenter(images_of(LABELS), drawn, None))
        expected = objective(branches, LABELS)
        adam.zero_grad()
        expected["total"].backward()
        adam.step()
        assert {name: term.item() for name, term in outcome.terms.items()} == pytest.approx(
            {name: term.item() for name, term in expected.items()}, rel=1e-3, abs=1e-3
        )
        torch.testing.assert_close(outcome.theta, theta, rtol=1e-3, atol=1e-3)


def test_an_outcome_is_apart_from_the_graph() -> None:
    outcome = one_step(build_learner(PLAIN, 3, 0, CPU))
    assert outcome.theta is not None
    assert not any(tensor.requires_grad for tensor in (*outcome.terms.values(), outcome.theta))


def test_the_mean_of_the_weights_follows_each_step() -> None:
    learner = build_learner(OURS, 3, 0, CPU)
    assert learner.average is not None
    stepper = Stepper(learner, frozen=False)
    seen: list[Tensor] = []
    name = "network.global_branch.reduction.weight"
    for step in range(4):
        take(learner, stepper, step)
        seen.append(learner.trainee.state_dict()[name].double())
        found = learner.average.average.state_dict()[name].double()
        torch.testing.assert_close(found, torch.stack(seen).mean(dim=0), rtol=1e-4, atol=1e-6)
    assert not torch.equal(seen[0], seen[3])


def test_the_same_seed_learns_the_same_and_another_does_not() -> None:
    for recipe in (replace(BASELINE, **AUGMENTED), replace(OURS, **AUGMENTED)):  # type: ignore[arg-type]
        (first, totals), (again, same_totals), (other, _) = steps(recipe, 2), steps(recipe, 2), steps(recipe, 2, seed=1)
        assert totals == same_totals
        assert same(state_of(first), state_of(again))
        assert not same(state_of(first), state_of(other))


@pytest.mark.parametrize("changes", [{"jitter_p": 1.0}, {"mixstyle_p": 0.5}, {"channel_drop": 0.3}, AUGMENTED])
def test_the_generator_of_a_step_decides_its_augmentation(changes: dict[str, Any]) -> None:
    totals = []
    for seed in (1, 1, 2):
        learner = build_learner(replace(BASELINE, **changes), 3, 0, CPU)
        totals.append(one_step(learner, 0.0, seed).terms["total"].item())
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
    one_step(learner)
    assert norm_of(learner) == pytest.approx(0.01, rel=1e-3)
    assert state_of(learner)["trainee.network.trunk.conv1.weight"].isfinite().all()


def test_a_step_whose_scaled_gradients_overflow_is_left_out_and_the_scale_falls() -> None:
    learner = build_learner(BASELINE, 3, 0, CPU)
    learner = replace(learner, scaler=torch.amp.GradScaler("cpu", init_scale=2.0**127))
    before = {name: parameter.detach().clone() for name, parameter in learner.network.named_parameters()}
    one_step(learner)
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
        change = (learner.network.state_dict()[name] - before[f"trainee.network.{name}"]).abs()
        assert change.max().item() == pytest.approx(rate, rel=0.01), name


def test_a_step_leaves_its_images_alone() -> None:
    recipe = replace(BASELINE, **AUGMENTED)  # type: ignore[arg-type]
    given = batch(recipe)
    learner = build_learner(recipe, 3, 0, CPU)
    Stepper(learner, frozen=False).step(given, 1e-3, 0.0, np.random.default_rng(0))
    assert torch.equal(given.images, images_of(LABELS, channels=4))


@pytest.mark.parametrize("num", [3, 5])
def test_a_batch_of_any_size_is_a_step(num: int) -> None:
    recipe = replace(OURS, **AUGMENTED)  # type: ignore[arg-type]
    learner = build_learner(recipe, 3, 0, CPU)
    outcome = Stepper(learner, frozen=False).step(batch(recipe, num), 1e-3, 1.0, np.random.default_rng(0))
    assert all(term.isfinite() for term in outcome.terms.values())


@pytest.mark.parametrize("changes", [{"num_parts": 0}, {"num_parts": 0, "aligned": "map", "transform": "affine"}])
def test_a_network_without_parts_steps_too(changes: dict[str, Any]) -> None:
    learner = build_learner(replace(OURS, **changes), 3, 0, CPU)
    outcome = one_step(learner)
    assert outcome.terms.keys() == {"total", "id_g", "contrastive"}
    assert outcome.theta is None


@pytest.mark.parametrize("frozen", [False, True])
def test_an_aligned_inputs_heading_is_held_whatever_trains(frozen: bool) -> None:
    # With decay, which moves what has no gradient but zeros.
    learner = build_learner(replace(OURS, weight_decay=0.1), 3, 0, CPU)
    before = state_of(learner)
    stepper = Stepper(learner, frozen=frozen)
    for step in range(2):
        learner.network.eval()  # whatever comes between
        stepper.begin_epoch()
        assert take(learner, stepper, step, 1e-2).theta is None
    after = state_of(learner)
    still = {name for name, tensor in after.items() if torch.equal(tensor, before[name])}
    counters = {name for name in before if name.startswith("average.") and name.endswith("num_batches_tracked")}
    held = {f"{prefix}.{name}" for prefix in ("trainee.network", "average.average.network") for name in learner.held}
    assert len(learner.held) > 30
    assert still == held | counters


def test_the_baseline_aligns_nothing() -> None:
    outcome = one_step(build_learner(BASELINE, 3, 0, CPU))
    assert outcome.terms.keys() == {"total", "id_g", "triplet_g"}
    assert outcome.theta is None


def test_the_baseline_under_an_aligned_recipe_sees_its_input_as_it_is() -> None:
    recipe = replace(BASELINE, aligned="input", transform="rotation")
    learner, plain = (build_learner(of, 3, 0, CPU) for of in (recipe, BASELINE))
    drawn = draw(recipe, 8, np.random.default_rng(0))
    found, expected = (one.augmenter(images_of(LABELS), drawn, None) for one in (learner, plain))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
