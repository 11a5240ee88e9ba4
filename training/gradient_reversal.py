"""Gradient reversal (Ganin and Lempitsky 2015): what follows learns a thing, what comes before prevents it."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx


def reverse_gradient(features: Tensor) -> Tensor:
    """The features as they are; the gradient that comes back through them changes its sign."""
    reversed_: Tensor = _Reversal.apply(features)
    return reversed_


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(_: FunctionCtx, features: Tensor) -> Tensor:
        return features.view_as(features)

    @staticmethod
    def backward(_: FunctionCtx, *gradients: Any) -> Tensor:
        gradient: Tensor = gradients[0]
        return -gradient
