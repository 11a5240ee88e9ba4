"""SCAN: Spatial and Channel Attention Network for vehicle re-identification (Teng, Liu, Zhang, Huang; PCM 2018).

What follows the paper, as far as its abstract tells (the rest was not at hand): an attention of two branches side by
side, "embedded after convolutional layers to refine the feature maps"; the spatial branch weighs positions, the
channel branch weighs channels; attention and convolutions are trained jointly by cross-entropy and triplet loss.

Our reading: an attention each after the trunk and after layer4. The channel branch is that of SENet (Hu et al. 2018),
the spatial one has two 1 x 1 convolutions; both end in a sigmoid, and the map is multiplied by both weights. The
backbone is ours too, and so is the reduction of the pooled map to 512 numbers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.compared.spatial_attention import REDUCTION, SpatialAttention
from model.config import PART_DIM, SCANConfig
from model.normalization import Normalization
from model.unaligned import UnalignedNetwork


class ChannelAttention(nn.Module):
    """Squeeze and excitation: one weight for each channel, computed from the map's mean."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        num_hidden = max(1, num_channels // REDUCTION)
        self.hidden = nn.Conv2d(num_channels, num_hidden, kernel_size=1)
        self.weight = nn.Conv2d(num_hidden, num_channels, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) -> weights (N, C, 1, 1) between 0 and 1."""
        pooled = F.adaptive_avg_pool2d(features, 1)
        return torch.sigmoid(self.weight(torch.relu(self.hidden(pooled))))


class ParallelAttention(nn.Module):
    """Both branches see the same map, and each weighs it."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.spatial = SpatialAttention(num_channels)
        self.channel = ChannelAttention(num_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) -> the refined ones, of the same shape."""
        refined: Tensor = features * self.spatial(features) * self.channel(features)
        return refined


class SCAN(UnalignedNetwork[SCANConfig]):
    """Trunk, attention, layer4, attention, average pool, reduction."""

    def __init__(self, config: SCANConfig, normalization: Normalization | None = None) -> None:
        super().__init__(config, normalization)
        self.trunk_attention = ParallelAttention(config.trunk_width)
        self.layer4_attention = ParallelAttention(config.layer4_width)
        self.reduction = nn.Conv2d(config.layer4_width, PART_DIM, kernel_size=1)

    def branch_features(self, aligned: Tensor) -> tuple[list[Tensor], None]:
        """What the trunk sees (N, 3, S, W) -> the reduced feature (N, 512)."""
        features = self.trunk_attention(self.trunk(aligned))
        features = self.layer4_attention(self.layer4(features))
        return [self.reduction(F.adaptive_avg_pool2d(features, 1)).flatten(1)], None
