"""SANet: one trunk, a global branch and two self-aligned spatial branches (paper, Fig. 2)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.alignment import InputAlignment, SelfAlignment, identity_theta
from model.backbone import build_layer4, build_trunk
from model.config import PART_DIM, SANetConfig
from model.normalization import Normalization


class NetworkOutput(NamedTuple):
    """What every network here returns, in training and in evaluation.

    Attributes:
        embedding: (N, D); for SANet [g, t.., l..], `PART_DIM` numbers each.
        theta: (N, 2, 3) float32; the identity where the network does not align.
    """

    embedding: Tensor
    theta: Tensor


class GlobalBranch(nn.Module):
    """layer4 at stride 2, average pool, reduction: the whole, unaligned vehicle."""

    def __init__(self, config: SANetConfig) -> None:
        super().__init__()
        self.layer4 = build_layer4(config, stride=2)
        self.reduction = nn.Conv2d(config.layer4_width, PART_DIM, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, 16, 16) -> g (N, 512)."""
        pooled = F.adaptive_avg_pool2d(self.layer4(features), 1)
        return torch.flatten(self.reduction(pooled), 1)


class SpatialBranch(nn.Module):
    """layer4 at stride 1 on the aligned map, cut into M parts, each pooled and reduced on its own.

    With `axis` 2 the parts are horizontal bands (top/down branch), with 3 vertical ones (left/right branch). Where M
    does not divide the map, neighbouring parts share cells, as in PCB's adaptive pooling: with M = 2 the middle one
    of 5 columns counts as left and as right. An aligned input of 128 pixels a side has 8 rows and `num_columns`: of
    those, 4 divide by M = 2 and 4, 6 by M = 2 and 6.
    """

    def __init__(self, config: SANetConfig, *, axis: int) -> None:
        super().__init__()
        self.pool_size = (config.num_parts, 1) if axis == 2 else (1, config.num_parts)
        self.layer4 = build_layer4(config, stride=1)
        reductions = (nn.Conv2d(config.layer4_width, PART_DIM, kernel_size=1) for _ in range(config.num_parts))
        self.reductions = nn.ModuleList(reductions)

    def forward(self, aligned: Tensor) -> Tensor:
        """(N, C, 16, 16) -> the parts, top to bottom or left to right: (N, M * 512)."""
        parts = F.adaptive_avg_pool2d(self.layer4(aligned), self.pool_size).flatten(2)  # (N, C4, M)
        reduced = [
            reduction(part[..., None])
            for reduction, part in zip(self.reductions, torch.split(parts, 1, dim=2), strict=True)
        ]
        return torch.cat(reduced, dim=1).flatten(1)


class SANet(nn.Module):
    """The paper's network. Images in, embedding and theta out; it normalises its input itself."""

    def __init__(self, config: SANetConfig, normalization: Normalization | None = None) -> None:
        super().__init__()
        self.config = config
        self.normalization = normalization or Normalization()
        self.trunk = build_trunk(config)
        aligns_map = config.transform != "none" and config.aligned == "map" and config.num_parts > 0
        self.alignment = SelfAlignment(config.trunk_width, config.transform, config.padding) if aligns_map else None
        self.input_alignment = InputAlignment(config) if config.aligned == "input" else None
        self.global_branch = GlobalBranch(config)
        self.top_down_branch = SpatialBranch(config, axis=2) if config.num_parts else None
        self.left_right_branch = SpatialBranch(config, axis=3) if config.num_parts else None

    def forward(self, images: Tensor) -> NetworkOutput:
        """Images (N, 3, 256, 256), uint8 or float in [0, 1], RGB -> embedding (N, 512 * (1 + 2 M)) and theta."""
        aligned, input_theta = self.align_input(self.normalization(images))
        branches, map_theta = self.branch_features(aligned)
        embedding = join_branches(branches, unit_length=self.config.unit_length)
        return NetworkOutput(embedding, input_theta if map_theta is None else map_theta)

    def align_input(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images (N, 3, S, S) -> what the trunk sees (N, 3, S, W), and the theta (N, 2, 3) that turned them.

        Without an aligned input these are the images themselves and the identity.
        """
        if self.input_alignment is None:
            return images, identity_theta(images.shape[0], images.device)
        aligned, theta = self.input_alignment(images)
        return aligned, theta

    def branch_features(self, aligned: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """What the trunk sees (N, 3, S, W) -> each branch's features, and the theta that aligned the map, if one did.

        Returns:
            g (N, 512); with parts also top/down and left/right, (N, M * 512) each; of any length. Theta is (N, 2, 3).
        """
        features = aligned_features = self.trunk(aligned)
        theta: Tensor | None = None
        if self.alignment is not None:
            aligned_features, theta = self.alignment(features)
        branches: list[Tensor] = [self.global_branch(features)]
        if self.top_down_branch is not None and self.left_right_branch is not None:
            branches += [self.top_down_branch(aligned_features), self.left_right_branch(aligned_features)]
        return branches, theta


def join_branches(branches: list[Tensor], *, unit_length: bool) -> Tensor:
    """The branches' features (N, D_i) side by side: the embedding (N, D) float32; each of unit length first, or not."""
    branches = [branch.to(torch.promote_types(branch.dtype, torch.float32)) for branch in branches]
    if unit_length:
        branches = [F.normalize(branch) for branch in branches]
    return torch.cat(branches, dim=1)
