"""The optimiser and its learning rate: Adam, warm-up, cosine."""

import math

import torch
from torch import nn

from training.recipe import Recipe


def build_optimizer(network: nn.Module, objective: nn.Module, recipe: Recipe) -> torch.optim.Adam:
    """Adam over the network and the classifiers; the alignment module in groups of its own.

    Biases and BatchNorm, all of one dimension, are not decayed. A frozen parameter has no gradient: Adam passes it by.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    named = [*network.named_parameters(), *(("objective", parameter) for parameter in objective.parameters())]
    for name, parameter in named:
        factor = recipe.alignment_factor if name.startswith("alignment.") else 1.0
        decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((factor, decay), []).append(parameter)
    return torch.optim.Adam(
        [
            {"params": parameters, "factor": factor, "weight_decay": decay}
            for (factor, decay), parameters in groups.items()
        ],
        fused=True,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Sets the rate of every group, times the group's factor."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["factor"]


def learning_rate_at(step: int, num_steps: int, num_warmup_steps: int, highest: float) -> float:
    """The rate of a step from 0 to num_steps - 1: up in a straight line, then down to 0 as half a cosine."""
    if step < num_warmup_steps:
        return highest * (step + 1) / num_warmup_steps
    progress = (step - num_warmup_steps) / max(num_steps - num_warmup_steps, 1)
    return highest * 0.5 * (1 + math.cos(math.pi * progress))
