"""The paper's baseline (Sec. III): a plain backbone (there ResNet-50) whose pooled last map is the embedding."""

import torch.nn.functional as F
from torch import Tensor

from model.config import BaselineConfig
from model.unaligned import UnalignedNetwork


class Baseline(UnalignedNetwork[BaselineConfig]):
    """Trunk, layer4 and an average pool."""

    def branch_features(self, aligned: Tensor) -> tuple[list[Tensor], None]:
        """What the trunk sees (N, 3, S, W) -> the pooled last map (N, C), of any length; no map is aligned."""
        return [F.adaptive_avg_pool2d(self.layer4(self.trunk(aligned)), 1).flatten(1)], None
