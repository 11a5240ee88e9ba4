"""VSCR: Viewpoint and Scale Consistency Reinforcement for UAV vehicle re-identification (Teng et al.; IJCV 2021).

What follows the paper, as far as its abstract tells (the rest was not at hand): a viewpoint adversarial training
strategy and a multi-scale consensus loss make one feature robust against viewpoints and scales. Viewpoints are
annotated: front, rear, left, right.

Our reading: the feature is the pooled last map, reduced to 512 numbers. Of each training image the network sees a
second scale, the image at half its resolution: as all crops are stretched to one size, that is how a vehicle from
twice as high looks. The losses are in `training.compared.vscr`: a discriminator that tells viewpoints, and whose
gradient is reversed; and the divergence between what both scales say of the identity.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from model.config import PART_DIM, VSCRConfig
from model.normalization import Normalization
from model.unaligned import UnalignedNetwork


class VSCR(UnalignedNetwork[VSCRConfig]):
    """Trunk, layer4, average pool, reduction; in training at two scales."""

    def __init__(self, config: VSCRConfig, normalization: Normalization | None = None) -> None:
        super().__init__(config, normalization)
        self.reduction = nn.Conv2d(config.layer4_width, PART_DIM, kernel_size=1)

    def branch_features(self, aligned: Tensor) -> tuple[list[Tensor], None]:
        """What the trunk sees (N, 3, S, W) -> the feature (N, 512), and in training that of the coarse images."""
        features = [self._features(aligned)]
        if self.training:
            features.append(self._features(coarsened(aligned)))
        return features, None

    def _features(self, images: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(self.layer4(self.trunk(images)), 1)
        reduced: Tensor = self.reduction(pooled).flatten(1)
        return reduced


def coarsened(images: Tensor) -> Tensor:
    """Images (N, 3, H, W) of even sides at half their resolution, of the same shape."""
    return F.interpolate(F.avg_pool2d(images, 2), scale_factor=2, mode="bilinear", align_corners=False)
