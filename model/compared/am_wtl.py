"""AM+WTL: an attention mask and a weighted triplet loss for UAV vehicle re-identification.

By its name this is "Attention mask-based network with simple color annotation for UAV vehicle re-identification" (Yao,
Huang, Qi, Zhong; GRSL 2021); the paper was not at hand. What others say of it in a line: an attention mask, learned
with the help of colour annotations, suppresses the background; the triplet loss weighs vehicles by their colours.

Our reading: the mask weighs the trunk's map, and layer4 sees what is left. The trunk's features, averaged under the
mask, have to tell the vehicle's colour, which draws the mask to the paintwork. The losses are in
`training.compared.am_wtl`.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from model.compared.spatial_attention import SpatialAttention
from model.config import PART_DIM, AMWTLConfig
from model.normalization import Normalization
from model.unaligned import UnalignedNetwork


class AMWTL(UnalignedNetwork[AMWTLConfig]):
    """Trunk, attention, layer4, average pool, reduction."""

    def __init__(self, config: AMWTLConfig, normalization: Normalization | None = None) -> None:
        super().__init__(config, normalization)
        self.attention = SpatialAttention(config.trunk_width)
        self.reduction = nn.Conv2d(config.layer4_width, PART_DIM, kernel_size=1)

    def branch_features(self, aligned: Tensor) -> tuple[list[Tensor], None]:
        """What the trunk sees (N, 3, S, W) -> the embedding (N, 512), and what tells the colour (N, trunk_width)."""
        features = self.trunk(aligned)
        mask = self.attention(features)
        masked = features * mask
        reduced = self.reduction(F.adaptive_avg_pool2d(self.layer4(masked), 1)).flatten(1)
        # A sigmoid may round to 0 everywhere: then nothing tells the colour, and nothing is divided by 0.
        under_mask = masked.sum(dim=(2, 3)) / mask.sum(dim=(2, 3)).clamp(min=1e-6)
        return [reduced, under_mask], None
