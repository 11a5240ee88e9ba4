"""A network as it embeds: what evaluation never changes is worked out beforehand, each part in its numeric path."""

import copy
from typing import Final

import torch
from torch import Tensor, nn

from model.build import Network
from model.folding import fold_batch_norms
from model.precision import DTYPES, Precision

# What tells how a vehicle lies stays in float32: with 8 bits of mantissa headings would jitter by degrees.
_ALWAYS_FLOAT32: Final = ("normalization", "input_alignment")


def inference_network(network: Network, size_px: int, device: torch.device, precision: Precision) -> Network:
    """A copy of a network that embeds on a device: with BatchNorm folded, in channels-last order.

    In float32 its embeddings are the network's own but for rounding. In other paths the weights are converted once,
    which autocast would do anew for each batch.

    Args:
        network: it stays as it is.
        size_px: S, the side of the images that it takes.
        device: where the copy is.
        precision: of all but the heading and the branches' lengths.
    """
    prepared = copy.deepcopy(network).eval()
    fold_batch_norms(prepared, torch.zeros(1, 3, size_px, size_px, device=next(prepared.parameters()).device))
    if precision != "float32":
        for name, part in prepared.named_children():
            if name not in _ALWAYS_FLOAT32:
                part.to(DTYPES[precision])
        prepared.trunk = nn.Sequential(_Cast(DTYPES[precision]), prepared.trunk)
    prepared.requires_grad_(False)
    return prepared.to(device).to(memory_format=torch.channels_last)


class OnPixels(nn.Module):
    """A network on images as they lie in memory, channels last, for runtimes that take plain tensors."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, S, S, 3) uint8 -> embedding (N, D) and theta (N, 2, 3)."""
        output = self.network(images.permute(0, 3, 1, 2))
        return output.embedding, output.theta


class _Cast(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return x.to(self.dtype)
