"""The shapes of the compared networks: each is its backbone, and what is fixed in the network's own file."""

from dataclasses import dataclass

from model.backbone_config import PART_DIM, BackboneConfig


@dataclass(frozen=True)
class RAMConfig(BackboneConfig):
    """Of `model.compared.ram`.

    Its features have an eighth of the published widths (4096, 4096, 3 x 1024, 512): a pooled map has not as many
    numbers as VGG's flattened one.
    """

    @property
    def region_dim(self) -> int:
        """Numbers in the feature of one of the three regions."""
        return PART_DIM // 4

    @property
    def attribute_dim(self) -> int:
        """Numbers in the attribute branch's feature."""
        return PART_DIM // 8

    @property
    def embedding_dim(self) -> int:
        """Numbers in one embedding: [conv, BN, three regions, attributes]."""
        return 2 * PART_DIM + 3 * self.region_dim + self.attribute_dim


@dataclass(frozen=True)
class SCANConfig(BackboneConfig):
    """Of `model.compared.scan`."""

    @property
    def embedding_dim(self) -> int:
        """Numbers in one embedding: the reduced feature."""
        return PART_DIM


@dataclass(frozen=True)
class VSCRConfig(BackboneConfig):
    """Of `model.compared.vscr`."""

    @property
    def embedding_dim(self) -> int:
        """Numbers in one embedding: the reduced feature."""
        return PART_DIM


@dataclass(frozen=True)
class AMWTLConfig(BackboneConfig):
    """Of `model.compared.am_wtl`."""

    @property
    def embedding_dim(self) -> int:
        """Numbers in one embedding: the reduced feature."""
        return PART_DIM


@dataclass(frozen=True)
class CNNetsConfig(BackboneConfig):
    """Of `model.compared.cn_nets`."""

    @property
    def embedding_dim(self) -> int:
        """Numbers in one embedding: [coarse, fine]."""
        return 2 * PART_DIM
