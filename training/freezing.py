"""Holding back what was loaded from pre-trained weights (paper, Sec. II-D: the first 10 epochs)."""

from collections.abc import Collection

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def freeze(network: nn.Module, names: Collection[str]) -> None:
    """Keeps the named parameters and buffers as they are, of a network in training mode.

    BatchNorm layers among them go to evaluation mode: in training mode their running statistics would move.
    """
    for name, parameter in network.named_parameters():
        if name in names:
            parameter.requires_grad_(False)
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm) and f"{name}.running_mean" in names:
            module.eval()


def thaw(network: nn.Module) -> None:
    """Lets everything train."""
    network.train()
    for parameter in network.parameters():
        parameter.requires_grad_(True)
