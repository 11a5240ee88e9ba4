"""The paper's baseline (Sec. IV-B): a plain ResNet whose pooled last map is the embedding."""

import torch.nn.functional as F
from torch import Tensor, nn

from model.alignment import identity_theta
from model.config import BaselineConfig
from model.normalization import Normalization
from model.resnet import build_layer4, build_trunk
from model.sanet import NetworkOutput


class Baseline(nn.Module):
    """conv1 .. layer4 and an average pool; it aligns nothing, its theta is the identity."""

    def __init__(self, config: BaselineConfig, normalization: Normalization | None = None) -> None:
        super().__init__()
        self.config = config
        self.normalization = normalization or Normalization()
        self.trunk = build_trunk(config)
        self.layer4 = build_layer4(config, stride=2)

    def forward(self, images: Tensor) -> NetworkOutput:
        """Images (N, 3, 256, 256), uint8 or float in [0, 1], RGB -> embedding (N, 2048 or 512) and theta."""
        features = self.layer4(self.trunk(self.normalization(images)))
        embedding = F.adaptive_avg_pool2d(features, 1).flatten(1)
        if self.config.unit_length:
            embedding = F.normalize(embedding)
        return NetworkOutput(embedding, identity_theta(len(images), images.device))
