"""The shape of a network: all that a checkpoint needs to rebuild it, and nothing about how it was trained."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from model.backbone_config import PART_DIM, Backbone, BackboneConfig, ConfigError, Stride, check_choice
from model.compared.config import AMWTLConfig, CNNetsConfig, RAMConfig, SCANConfig, VSCRConfig

__all__ = [
    "ARCHITECTURES",
    "PART_DIM",
    "AMWTLConfig",
    "Aligned",
    "Backbone",
    "BackboneConfig",
    "BaselineConfig",
    "CNNetsConfig",
    "ConfigError",
    "NetworkConfig",
    "Padding",
    "RAMConfig",
    "SANetConfig",
    "SCANConfig",
    "Stride",
    "Transform",
    "VSCRConfig",
    "architecture_of",
    "config_from_dict",
    "config_to_dict",
]

Transform = Literal["none", "rotation", "similarity", "affine"]
Padding = Literal["zeros", "border", "reflection"]
Aligned = Literal["map", "input"]


@dataclass(frozen=True)
class SANetConfig(BackboneConfig):
    """The paper's network; the defaults are the paper's best (Table I, M = 2).

    Attributes:
        num_parts: M, the parts per spatial branch. The paper's are 2, 4 and 6; the embedding has
            ``512 * (1 + 2 * M)`` numbers. With 0 there is the global branch alone.
        transform: the family of theta: ``"affine"`` (paper, 6 parameters), ``"similarity"`` (turn, uniform scale,
            shift), ``"rotation"`` (turn alone), or ``"none"``, the ablation without the alignment module.
        padding: what ``grid_sample`` reads outside the map.
        aligned: what is turned: the trunk's ``"map"``, for the spatial branches alone (paper), or the ``"input"``,
            before the trunk sees it; the heading then comes from `model.polar`, and the transform is a rotation.
        num_columns: how many columns of an aligned input the trunk sees, in cells of its map (16 pixels each); the
            others lie beside the vehicle. 0 is two thirds of them, to the nearest cell: 5 of 8 at 128 pixels a side.
    """

    num_parts: int = 2
    transform: Transform = "affine"
    padding: Padding = "zeros"
    aligned: Aligned = "map"
    num_columns: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.num_parts) is not int or not 0 <= self.num_parts <= 16:
            raise ConfigError(f"num_parts must lie between 0 and 16 (the map is 16 x 16), got {self.num_parts!r}")
        check_choice("transform", self.transform, get_args(Transform))
        check_choice("padding", self.padding, get_args(Padding))
        check_choice("aligned", self.aligned, get_args(Aligned))
        if self.aligned == "input" and self.transform != "rotation":
            raise ConfigError(
                f'an aligned input is turned, nothing else: use the transform "rotation", not {self.transform}'
            )
        if type(self.num_columns) is not int or self.num_columns < 0:
            raise ConfigError(f"num_columns must be a whole number of 0 or more, got {self.num_columns!r}")
        if self.num_columns and self.aligned != "input":
            raise ConfigError(f'num_columns are those of an aligned input: use aligned="input", not {self.aligned!r}')

    @property
    def embedding_dim(self) -> int:
        """Numbers in one embedding: [g, M parts of top/down, M parts of left/right]."""
        return PART_DIM * (1 + 2 * self.num_parts)


@dataclass(frozen=True)
class BaselineConfig(BackboneConfig):
    """The paper's baseline: the plain backbone, its pooled last map the embedding."""

    @property
    def embedding_dim(self) -> int:
        """Numbers in one embedding: layer4's channels."""
        return self.layer4_width


NetworkConfig = SANetConfig | BaselineConfig | RAMConfig | SCANConfig | VSCRConfig | AMWTLConfig | CNNetsConfig

ARCHITECTURES: Final[dict[str, type[NetworkConfig]]] = {
    "sanet": SANetConfig,
    "baseline": BaselineConfig,
    "ram": RAMConfig,
    "scan": SCANConfig,
    "vscr": VSCRConfig,
    "am_wtl": AMWTLConfig,
    "cn_nets": CNNetsConfig,
}
"""By the name that stands in a checkpoint."""


def architecture_of(config: NetworkConfig) -> str:
    """The name in `ARCHITECTURES`."""
    return next(name for name, kind in ARCHITECTURES.items() if type(config) is kind)


def config_to_dict(config: NetworkConfig) -> dict[str, Any]:
    """The configuration as plain JSON values, with its ``architecture`` beside its fields."""
    return {"architecture": architecture_of(config), **dataclasses.asdict(config)}


def config_from_dict(fields: dict[str, Any]) -> NetworkConfig:
    """The inverse of `config_to_dict`.

    Raises:
        ConfigError: an unknown architecture or field, or a value that no network has.
    """
    fields = dict(fields)
    architecture = fields.pop("architecture", None)
    check_choice("architecture", architecture, tuple(ARCHITECTURES))
    try:
        return ARCHITECTURES[str(architecture)](**fields)
    except TypeError as error:
        raise ConfigError(f"the configuration does not fit {architecture!r}: {error}") from None
