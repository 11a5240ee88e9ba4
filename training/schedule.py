"""The optimiser and its learning rate: Adam, warm-up, cosine."""

import math
from collections.abc import Collection

import torch
from torch import Tensor, nn

from training.recipe import Recipe
from training.trainee import Trainee


def build_optimizer(trainee: Trainee, recipe: Recipe, loaded: Collection[str]) -> torch.optim.Adam:
    """Adam over the network and the classifiers; the alignment module, and what was loaded, in groups of their own.

    Biases and BatchNorm, all of one dimension, are not decayed. A frozen parameter has no gradient: Adam passes it by.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in trainee.network.named_parameters():
        factor = recipe.alignment_factor if name.startswith("alignment.") else 1.0
        factor *= recipe.loaded_factor if name in loaded else 1.0
        groups.setdefault((factor, _decay(recipe, parameter)), []).append(parameter)
    for parameter in trainee.objective.parameters():
        groups.setdefault((1.0, _decay(recipe, parameter)), []).append(parameter)
    device = next(trainee.parameters()).device
    return torch.optim.Adam(
        [
            # A tensor, and not a number: a captured step reads it anew each time.
            {"params": parameters, "factor": factor, "weight_decay": decay, "lr": torch.zeros((), device=device)}
            for (factor, decay), parameters in groups.items()
        ],
        fused=True,
        capturable=device.type == "cuda",
    )


def _decay(recipe: Recipe, parameter: Tensor) -> float:
    return recipe.weight_decay if parameter.ndim > 1 else 0.0


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Sets the rate of every group, times the group's factor."""
    for group in optimizer.param_groups:
        group["lr"].fill_(learning_rate * group["factor"])


def learning_rate_at(step: int, num_steps: int, num_warmup_steps: int, highest: float) -> float:
    """The rate of a step from 0 to num_steps - 1: up in a straight line, then down to 0 as half a cosine."""
    if step < num_warmup_steps:
        return highest * (step + 1) / num_warmup_steps
    progress = (step - num_warmup_steps) / max(num_steps - num_warmup_steps, 1)
    return highest * 0.5 * (1 + math.cos(math.pi * progress))
