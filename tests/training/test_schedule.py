import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from model.build import build_network
from model.config import BaselineConfig, NetworkConfig, SANetConfig
from training.objective import Objective
from training.recipe import Recipe
from training.schedule import build_optimizer, learning_rate_at, set_learning_rate


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


def parts_of(config: NetworkConfig) -> tuple[nn.Module, Objective]:
    with torch.device("meta"):
        return build_network(config), Objective(config, 3)


def without_decay(network: nn.Module) -> set[nn.Parameter]:
    """Biases and BatchNorm, by what they are."""
    normalising = {p for module in network.modules() if isinstance(module, _BatchNorm) for p in module.parameters()}
    return normalising | {parameter for name, parameter in network.named_parameters() if name.endswith("bias")}


@pytest.mark.parametrize(
    "config", [SANetConfig("resnet18"), SANetConfig("resnet18", transform="none"), BaselineConfig()]
)
def test_every_parameter_is_in_one_group_with_its_factor_and_decay(config: NetworkConfig) -> None:
    network, objective = parts_of(config)
    optimizer = build_optimizer(network, objective, Recipe(alignment_factor=0.05, weight_decay=2e-4))
    found = {p: (group["factor"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    assert Counter(p for group in optimizer.param_groups for p in group["params"]).most_common(1)[0][1] == 1
    undecayed = without_decay(network) | without_decay(objective)
    named = {**dict(network.named_parameters()), **{f"objective.{n}": p for n, p in objective.named_parameters()}}
    expected = {
        parameter: (0.05 if name.startswith("alignment.") else 1.0, 0.0 if parameter in undecayed else 2e-4)
        for name, parameter in named.items()
    }
    assert found == expected
    kinds = {(1.0, 0.0), (1.0, 2e-4)}
    aligns = isinstance(config, SANetConfig) and config.transform != "none"
    assert set(found.values()) == (kinds | {(0.05, 0.0), (0.05, 2e-4)} if aligns else kinds)


def test_the_rate_of_a_step_reaches_every_group_times_its_factor() -> None:
    optimizer = build_optimizer(*parts_of(SANetConfig("resnet18")), Recipe(alignment_factor=0.1))
    for rate in (0.5, 0.25, 0.0):
        set_learning_rate(optimizer, rate)
        assert {group["factor"]: group["lr"] for group in optimizer.param_groups} == {1.0: rate, 0.1: 0.1 * rate}


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Linear(3, 4)
        self.alignment = nn.Sequential(nn.Linear(2, 3))
        self.aligned = nn.Linear(2, 2)
        self.unused = nn.Linear(2, 2)


def toy(seed: int) -> tuple[Toy, nn.Linear]:
    network, objective = Toy().double(), nn.Linear(4, 2).double()
    rng = np.random.default_rng(seed)
    for parameter in (*network.parameters(), *objective.parameters()):
        parameter.data = torch.from_numpy(rng.normal(size=parameter.shape))
    return network, objective


def named_parameters(network: nn.Module, objective: nn.Module) -> dict[str, nn.Parameter]:
    return {**dict(network.named_parameters()), **{f"objective.{n}": p for n, p in objective.named_parameters()}}


def test_fused_steps_are_those_of_adam_as_published() -> None:
    recipe = Recipe(alignment_factor=0.05, weight_decay=0.01)
    network, objective = toy(1)
    parameters = named_parameters(network, objective)
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

    optimizer = build_optimizer(network, objective, recipe)
    rng = np.random.default_rng(2)
    for step, rate in enumerate((0.1, 0.05, 0.02), start=1):
        for name, parameter in parameters.items():
            if name.startswith("unused."):
                continue  # as if it were frozen
            gradient = rng.normal(size=parameter.shape)
            parameter.grad, twins[name].grad = torch.from_numpy(gradient), torch.from_numpy(gradient.copy())
            if not name.endswith("bias"):
                gradient = gradient + 0.01 * by_hand[name]
            first[name] = 0.9 * first[name] + 0.1 * gradient
            second[name] = 0.999 * second[name] + 0.001 * gradient**2
            change = first[name] / (1 - 0.9**step) / (np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8)
            by_hand[name] -= (0.05 if name.startswith("alignment.") else 1.0) * rate * change
        set_learning_rate(optimizer, rate)
        for group in plain.param_groups:
            group["lr"] = rate * (0.05 if group["name"].startswith("alignment.") else 1.0)
        optimizer.step()
        plain.step()
    for name, parameter in parameters.items():
        torch.testing.assert_close(parameter, twins[name], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(parameter.detach().numpy(), by_hand[name], rtol=1e-10, atol=1e-12)
