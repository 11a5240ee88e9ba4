"""What the compared objectives' tests share: a batch, and losses as one would write them down."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]

NUM_LABELS = 4
LABELS = torch.tensor([0, 0, 3, 3, 1, 1])
COLOURS = torch.tensor([2, 2, 0, -1, 2, 2])
NUM_CLASSES = 3


def branches_of(*widths: int, seed: int = 0) -> list[Tensor]:
    """Features (6, D) each, near enough to each other that some triplets are wrong."""
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.normal(scale=0.1, size=(len(LABELS), width))).requires_grad_() for width in widths]


def seeded(objective: nn.Module) -> nn.Module:
    """With weights that tell, in float64."""
    rng = np.random.default_rng(7)
    objective.double()
    for parameter in objective.parameters():
        parameter.data = torch.from_numpy(rng.normal(size=parameter.shape))
    return objective


def scores(layer: nn.Module, features: Array) -> Array:
    """A linear layer's, row by row."""
    parameters = {name: parameter.detach().numpy() for name, parameter in layer.named_parameters()}
    weight = parameters["weight"]
    bias = parameters.get("bias", np.zeros(len(weight)))
    return np.array([[float(w @ row) + b for w, b in zip(weight, bias, strict=True)] for row in features])


def cross_entropy(logits: Array, classes: Tensor) -> float:
    """The mean over the rows whose class is known."""
    losses = [
        math.log(sum(math.exp(one) for one in row)) - row[of_row]
        for row, of_row in zip(logits, classes.tolist(), strict=True)
        if of_row >= 0
    ]
    return float(np.mean(losses))


def unit(features: Array) -> Array:
    normalized: Array = features / np.linalg.norm(features, axis=1, keepdims=True)
    return normalized


def array(tensor: Tensor) -> Array:
    numbers: Array = tensor.detach().numpy()
    return numbers


def check_terms(terms: Mapping[str, Tensor], expected: Mapping[str, float], weights: Mapping[str, float]) -> None:
    """The terms are these, and the total is their sum, each times its weight (1 if none is given)."""
    total = sum(weights.get(name, 1.0) * value for name, value in expected.items())
    found = {name: term.item() for name, term in terms.items()}
    assert found == pytest.approx({"total": total, **expected}, rel=1e-9)


def check_all_learn(objective: nn.Module, terms: Mapping[str, Tensor], branches: list[Tensor]) -> None:
    """The total teaches every classifier and every branch: parallel processes would wait for other gradients."""
    terms["total"].backward()  # type: ignore[no-untyped-call]
    for name, parameter in objective.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.ne(0).any(), name
    for branch in branches:
        assert branch.grad is not None
        assert branch.grad.ne(0).any()
