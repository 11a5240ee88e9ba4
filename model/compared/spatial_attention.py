"""Where on a map to look: a mask that is computed from the map itself."""

from typing import Final

import torch
from torch import Tensor, nn

REDUCTION: Final = 16
"""How many channels become one between an attention's two layers (SENet, Hu et al. 2018)."""


class SpatialAttention(nn.Module):
    """Two 1 x 1 convolutions with a ReLU between them, and a sigmoid: one weight for each cell of the map."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        num_hidden = max(1, num_channels // REDUCTION)
        self.hidden = nn.Conv2d(num_channels, num_hidden, kernel_size=1)
        self.weight = nn.Conv2d(num_hidden, 1, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) -> weights (N, 1, H, W) between 0 and 1."""
        return torch.sigmoid(self.weight(torch.relu(self.hidden(features))))
