"""CN-Nets, as the paper's Table II calls a method for vehicle retrieval in UAV images.

Neither the paper nor its abstract was at hand. What others say of it in a line: normalised embeddings; a coarse
retrieval, then a fine one, then the query is expanded.

All of this is our reading: a coarse feature from the trunk's map and a fine one from layer4's, each reduced to 512
numbers and of unit length (`unit_length`), learned from cosines. Both lie side by side in one embedding: the squared
distance is the sum of the coarse and the fine one's, so that one exact search does what a short list and a second look
would do, without losing what the coarse one alone would have left out. The query is expanded where the evaluation is
asked to (``training.evaluate --expand``).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from model.config import PART_DIM, CNNetsConfig
from model.normalization import Normalization
from model.unaligned import UnalignedNetwork


class CNNets(UnalignedNetwork[CNNetsConfig]):
    """Trunk, a coarse feature, layer4, a fine feature."""

    num_embedded = 2

    def __init__(self, config: CNNetsConfig, normalization: Normalization | None = None) -> None:
        super().__init__(config, normalization)
        self.coarse_reduction = nn.Conv2d(config.trunk_width, PART_DIM, kernel_size=1)
        self.fine_reduction = nn.Conv2d(config.layer4_width, PART_DIM, kernel_size=1)

    def branch_features(self, aligned: Tensor) -> tuple[list[Tensor], None]:
        """What the trunk sees (N, 3, S, W) -> the coarse feature and the fine one (N, 512)."""
        features = self.trunk(aligned)
        coarse = self.coarse_reduction(F.adaptive_avg_pool2d(features, 1))
        fine = self.fine_reduction(F.adaptive_avg_pool2d(self.layer4(features), 1))
        return [coarse.flatten(1), fine.flatten(1)], None
