"""RAM: a Region-Aware deep Model for vehicle re-identification (Liu, Zhang, Huang, Gao; ICME 2018).

What follows the paper's abstract and the network definition that its authors published (liu-xb/RAM,
train_RAM.prototxt): four branches on one shared map. The conv branch sees the whole map through two fully connected
layers. The BN branch does the same with the map batch-normalised, which takes weight from the regions that answer
most. The region branch cuts the conv branch's map into three overlapping bands (of six rows the first three, the
middle four, the last three), each with two fully connected layers of its own. The attribute branch is a layer on the
conv branch's first one, and learns type and colour. All four features are compared, the three bands as one, each at
unit length (`unit_length`).

Our reading: the shared map is that of layer4 at stride 1 (there VGG-M's conv5), each band and the whole are averaged
before their first layer (there flattened), and widths are an eighth. There is no dropout. Where the data has neither
type nor colour, the attribute branch learns identities: see `training.compared.ram`.
"""

import math
from fractions import Fraction
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.config import PART_DIM, RAMConfig
from model.normalization import Normalization
from model.unaligned import UnalignedNetwork

# Where each region begins and ends, as a share of the map's height.
_REGIONS: Final = (
    (Fraction(0), Fraction(1, 2)),
    (Fraction(1, 6), Fraction(5, 6)),
    (Fraction(1, 2), Fraction(1)),
)


class FullyConnectedBranch(nn.Module):
    """Average pool and two fully connected layers: fc6 and fc7 of VGG."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.fc6 = nn.Linear(num_channels, PART_DIM)
        self.fc7 = nn.Linear(PART_DIM, PART_DIM)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, C, H, W) -> both layers' outputs (N, 512)."""
        hidden = torch.relu(self.fc6(_average(features)))
        return hidden, torch.relu(self.fc7(hidden))


class RegionBranch(nn.Module):
    """Three overlapping horizontal bands, each with two fully connected layers of its own."""

    def __init__(self, num_channels: int, region_dim: int) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(nn.Linear(num_channels, region_dim) for _ in _REGIONS)
        self.output = nn.ModuleList(nn.Linear(region_dim, region_dim) for _ in _REGIONS)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) -> top, middle and bottom, side by side (N, 3 * region_dim)."""
        regions = []
        for (begin, end), hidden, output in zip(_REGIONS, self.hidden, self.output, strict=True):
            # As adaptive pooling does it: a row that a border cuts belongs to both sides.
            height = features.shape[2]
            band = features[:, :, math.floor(begin * height) : math.ceil(end * height)]
            regions.append(torch.relu(output(torch.relu(hidden(_average(band))))))
        return torch.cat(regions, dim=1)


class RAM(UnalignedNetwork[RAMConfig]):
    """Conv, BN, region and attribute branch on one map."""

    num_embedded = 4

    def __init__(self, config: RAMConfig, normalization: Normalization | None = None) -> None:
        super().__init__(config, normalization, layer4_stride=1)
        width = config.layer4_width
        self.conv_branch = FullyConnectedBranch(width)
        self.normalize_map = nn.BatchNorm2d(width, eps=config.bn_eps)
        self.bn_branch = FullyConnectedBranch(width)
        self.region_branch = RegionBranch(width, config.region_dim)
        self.attribute_branch = nn.Linear(PART_DIM, config.attribute_dim)

    def branch_features(self, aligned: Tensor) -> tuple[list[Tensor], None]:
        """What the trunk sees (N, 3, S, W) -> conv (N, 512), BN (N, 512), regions (N, 384), attributes (N, 64)."""
        features = self.layer4(self.trunk(aligned))
        hidden, conv = self.conv_branch(features)
        _, bn = self.bn_branch(torch.relu(self.normalize_map(features)))
        attributes = torch.relu(self.attribute_branch(hidden))
        return [conv, bn, self.region_branch(features), attributes], None


def _average(features: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C)."""
    return F.adaptive_avg_pool2d(features, 1).flatten(1)
