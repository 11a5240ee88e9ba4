"""A network that aligns nothing: its theta is the identity."""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from torch import Tensor, nn

from model.alignment import identity_theta
from model.backbone import build_layer4, build_trunk
from model.config import BackboneConfig
from model.normalization import Normalization
from model.sanet import NetworkOutput, join_branches

Config = TypeVar("Config", bound=BackboneConfig)


class UnalignedNetwork(nn.Module, ABC, Generic[Config]):
    """Trunk, one layer4, and what a method makes of their maps.

    Attributes:
        num_embedded: how many of the branches, the first ones, are the embedding; the others only teach.
    """

    num_embedded = 1

    def __init__(self, config: Config, normalization: Normalization | None = None, *, layer4_stride: int = 2) -> None:
        super().__init__()
        self.config = config
        self.normalization = normalization or Normalization()
        self.trunk = build_trunk(config)
        self.layer4 = build_layer4(config, stride=layer4_stride)

    @abstractmethod
    def branch_features(self, aligned: Tensor) -> tuple[list[Tensor], None]:
        """What the trunk sees (N, 3, S, W) -> each branch's features (N, D_i), of any length; no map is aligned."""

    def forward(self, images: Tensor) -> NetworkOutput:
        """Images (N, 3, S, S), uint8 or float in [0, 1], RGB -> embedding (N, D) and the identity as theta."""
        aligned, theta = self.align_input(self.normalization(images))
        branches, _ = self.branch_features(aligned)
        embedding = join_branches(branches[: self.num_embedded], unit_length=self.config.unit_length)
        return NetworkOutput(embedding, theta)

    def align_input(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images (N, 3, S, S) as they are, and the identity (N, 2, 3)."""
        return images, identity_theta(images.shape[0], images.device)
