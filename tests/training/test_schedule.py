import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from model.build import build_network
from training.neck import Necks
from training.objective import Objective
from training.recipe import Recipe
from training.schedule import build_optimizer, learning_rate_at, set_learning_rate
from training.trainee import Trainee


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.1), (4, 0.5), (9, 1.0),  # the warm-up's first step, its middle, its last
        (10, 1.0), (35, 0.5 * (1 + math.sqrt(0.5))), (60, 0.5), (85, 0.5 * (1 - math.sqrt(0.5))),
        (109, 0.5 * (1 - math.cos(math.pi / 100))), (110, 0.0),
    ],
)  # fmt: skip
def test_the_rate_rises_in_a_line_and_falls_as_a_cosine(step: int, expected: float) -> None:
    assert learning_rate_at(step, 110, 10, 1.0) == pytest.approx(expected, abs=1e-12)
    assert learning_rate_at(step, 110, 10, 3e-4) == pytest.approx(3e-4 * expected, abs=1e-15)


def test_without_a_warm_up_the_first_step_has_the_highest_rate() -> None:
    rates = [learning_rate_at(step, 40, 0, 5e-4) for step in range(40)]
    assert rates[0] == 5e-4
    assert rates[20] == pytest.approx(2.5e-4)
    assert all(later < earlier for earlier, later in pairwise(rates))
    assert 0 < rates[-1] < 0.01 * 5e-4


@pytest.mark.parametrize(
    ("num_steps", "num_warmup_steps"), [(1, 0), (1, 1), (2, 1), (7, 7), (7, 20), (50, 5), (1000, 1)]
)
def test_the_rate_is_never_negative_nor_above_the_highest(num_steps: int, num_warmup_steps: int) -> None:
    rates = [learning_rate_at(step, num_steps, num_warmup_steps, 0.01) for step in range(num_steps)]
    assert min(rates) > 0
    assert max(rates) <= 0.01
    peak = min(num_warmup_steps, num_steps)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def trainee_of(recipe: Recipe) -> Trainee:
    with torch.device("meta"):
        network = build_network(recipe.network_config())
        necks = Necks(network.config) if recipe.neck == "batchnorm" else None
        return Trainee(network, necks, Objective(network.config, 3, recipe), torch.float32)


def without_decay(network: nn.Module) -> set[nn.Parameter]:
    """Biases and BatchNorm, by what they are."""
    normalising = {p for module in network.modules() if isinstance(module, _BatchNorm) for p in module.parameters()}
    return normalising | {parameter for name, parameter in network.named_parameters() if name.endswith("bias")}


SMALL = Recipe(backbone="resnet18", alignment_factor=0.05, weight_decay=2e-4, loaded_factor=0.4)


@pytest.mark.parametrize(
    "recipe",
    [
        SMALL,
        replace(SMALL, transform="none"),
        replace(SMALL, architecture="baseline"),
        replace(SMALL, neck="batchnorm", id_scale=20.0, backbone="efficientnet_lite0"),
    ],
)
@pytest.mark.parametrize("prefixes", [(), ("trunk.",), ("trunk.", "alignment.", "layer4.", "global_branch.layer4.")])
def test_every_parameter_is_in_one_group_with_its_factor_and_decay(recipe: Recipe, prefixes: tuple[str, ...]) -> None:
    trainee = trainee_of(recipe)
    loaded = {name for name in trainee.network.state_dict() if name.startswith(prefixes or ("nothing",))}
    optimizer = build_optimizer(trainee, recipe, loaded)
    found = {p: (group["factor"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    assert Counter(p for group in optimizer.param_groups for p in group["params"]).most_common(1)[0][1] == 1
    undecayed = without_decay(trainee)
    expected = {}
    for name, parameter in trainee.named_parameters():
        of_network = name.removeprefix("network.")
        factor = (0.05 if of_network.startswith("alignment.") else 1.0) * (0.4 if of_network in loaded else 1.0)
        expected[parameter] = (factor, 0.0 if parameter in undecayed else 2e-4)
    assert found == expected
    aligns = recipe.architecture == "sanet" and recipe.transform != "none"
    factors = {1.0} | ({0.4} if prefixes else set()) | ({0.05 * (0.4 if len(prefixes) > 1 else 1)} if aligns else set())
    assert set(found.values()) == {(factor, decay) for factor in factors for decay in (0.0, 2e-4)}


def test_the_rate_of_a_step_reaches_every_group_times_its_factor() -> None:
    trainee = Trainee(*toy(0), torch.float32)  # type: ignore[arg-type]
    optimizer = build_optimizer(trainee, Recipe(alignment_factor=0.1), ())
    for rate in (0.5, 0.25, 0.0):
        set_learning_rate(optimizer, rate)
        found = {group["factor"]: float(group["lr"]) for group in optimizer.param_groups}
        assert found == pytest.approx({1.0: rate, 0.1: 0.1 * rate})


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Linear(3, 4)
        self.alignment = nn.Sequential(nn.Linear(2, 3))
        self.aligned = nn.Linear(2, 2)
        self.unused = nn.Linear(2, 2)


def toy(seed: int) -> tuple[Toy, None, nn.Linear]:
    """What a trainee is made of: a network, no necks, an objective."""
    network, objective = Toy().double(), nn.Linear(4, 2).double()
    rng = np.random.default_rng(seed)
    for parameter in (*network.parameters(), *objective.parameters()):
        parameter.data = torch.from_numpy(rng.normal(size=parameter.shape))
    return network, None, objective


def test_fused_steps_are_those_of_adam_as_published() -> None:
    recipe = Recipe(alignment_factor=0.05, weight_decay=0.01, loaded_factor=0.3)
    trainee = Trainee(*toy(1), torch.float32)  # type: ignore[arg-type]
    parameters = dict(trainee.named_parameters())
    loaded = {"trunk.weight", "trunk.bias"}
    factors = {
        name: 0.05 if name.startswith("network.alignment.") else 0.3 if name.startswith("network.trunk.") else 1.0
        for name in parameters
    }
    twins = {name: nn.Parameter(parameter.detach().clone()) for name, parameter in parameters.items()}
    plain = torch.optim.Adam(
        [
            {"params": [twin], "weight_decay": 0.0 if name.endswith("bias") else 0.01, "name": name}
            for name, twin in twins.items()
        ],
        foreach=False,
        fused=False,
    )
    by_hand = {name: parameter.detach().numpy().copy() for name, parameter in parameters.items()}
    first = {name: np.zeros_like(values) for name, values in by_hand.items()}
    second = {name: np.zeros_like(values) for name, values in by_hand.items()}

    optimizer = build_optimizer(trainee, recipe, loaded)
    rng = np.random.default_rng(2)
    for step, rate in enumerate((0.1, 0.05, 0.02), start=1):
        for name, parameter in parameters.items():
            if name.startswith("network.unused."):
                continue  # as if it were frozen
            gradient = rng.normal(size=parameter.shape)
            parameter.grad, twins[name].grad = torch.from_numpy(gradient), torch.from_numpy(gradient.copy())
            if not name.endswith("bias"):
                gradient = gradient + 0.01 * by_hand[name]
            first[name] = 0.9 * first[name] + 0.1 * gradient
            second[name] = 0.999 * second[name] + 0.001 * gradient**2
            change = first[name] / (1 - 0.9**step) / (np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8)
            by_hand[name] -= factors[name] * rate * change
        set_learning_rate(optimizer, rate)
        for group in plain.param_groups:
            group["lr"] = rate * factors[group["name"]]
        optimizer.step()
        plain.step()
    for name, parameter in parameters.items():
        # The rate is a float32 number.
        torch.testing.assert_close(parameter, twins[name], rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(parameter.detach().numpy(), by_hand[name], rtol=1e-6, atol=1e-8)
