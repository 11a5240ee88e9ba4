"""The paper's baseline (Sec. IV-B): a plain backbone (there ResNet-50) whose pooled last map is the embedding."""

import torch.nn.functional as F
from torch import Tensor, nn

from model.alignment import identity_theta
from model.backbone import build_layer4, build_trunk
from model.config import BaselineConfig
from model.normalization import Normalization
from model.sanet import NetworkOutput, join_branches


class Baseline(nn.Module):
    """Trunk, layer4 and an average pool; it aligns nothing, its theta is the identity."""

    def __init__(self, config: BaselineConfig, normalization: Normalization | None = None) -> None:
        super().__init__()
        self.config = config
        self.normalization = normalization or Normalization()
        self.trunk = build_trunk(config)
        self.layer4 = build_layer4(config, stride=2)

    def forward(self, images: Tensor) -> NetworkOutput:
        """Images (N, 3, 256, 256), uint8 or float in [0, 1], RGB -> embedding (N, C) and theta; C is layer4's width."""
        aligned, theta = self.align_input(self.normalization(images))
        branches, _ = self.branch_features(aligned)
        return NetworkOutput(join_branches(branches, unit_length=self.config.unit_length), theta)

    def align_input(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images (N, 3, S, S) as they are, and the identity (N, 2, 3)."""
        return images, identity_theta(images.shape[0], images.device)

    def branch_features(self, aligned: Tensor) -> tuple[list[Tensor], None]:
        """What the trunk sees (N, 3, S, W) -> the pooled last map (N, C), of any length; no map is aligned."""
        return [F.adaptive_avg_pool2d(self.layer4(self.trunk(aligned)), 1).flatten(1)], None
