"""The shape of a network: all that a checkpoint needs to rebuild it, and nothing about how it was trained."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, get_args

Backbone = Literal["resnet18", "resnet34", "resnet50", "resnet101", "efficientnet_lite0"]
Transform = Literal["none", "rotation", "similarity", "affine"]
Padding = Literal["zeros", "border", "reflection"]
Stride = Literal["3x3", "1x1"]
Aligned = Literal["map", "input"]

PART_DIM: Final = 512
"""Width of every reduced feature: g and each of the parts (paper, Sec. III-B)."""


class ConfigError(ValueError):
    """A configuration names something that does not exist; the message says what is possible."""


class _Published(NamedTuple):
    """What a backbone's authors fixed: the widths of its two pieces, and the epsilon of its BatchNorm."""

    trunk_width: int
    layer4_width: int
    bn_eps: float


_PUBLISHED: Final[dict[Backbone, _Published]] = {
    "resnet18": _Published(256, 512, 1e-5),
    "resnet34": _Published(256, 512, 1e-5),
    "resnet50": _Published(1024, 2048, 1e-5),
    "resnet101": _Published(1024, 2048, 1e-5),
    "efficientnet_lite0": _Published(112, 1280, 1e-3),
}


@dataclass(frozen=True)
class BackboneConfig:
    """What SANet and the baseline have in common: the backbone both are made of.

    Attributes:
        backbone: a torchvision ResNet, or EfficientNet-Lite0.
        stride: where a bottleneck halves the map: ``"3x3"`` as in torchvision ("v1.5"), ``"1x1"`` as in the
            original ResNet v1 (He et al. 2016). The tensors of both have the same names and shapes, so a wrong
            choice loads without an error and computes another network.
        bn_eps: epsilon of every BatchNorm in the backbone. 0 is replaced by the backbone's own: 1e-5 of a ResNet (as
            torchvision; Keras has 1.001e-5), 1e-3 of EfficientNet-Lite0.
        unit_length: whether each branch's features are divided by their length, so that branches count alike in the
            distance; what a network needs whose ID losses compare cosines.
    """

    backbone: Backbone = "resnet50"
    stride: Stride = "3x3"
    bn_eps: float = 0.0
    unit_length: bool = dataclasses.field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        _check_choice("backbone", self.backbone, get_args(Backbone))
        _check_choice("stride", self.stride, get_args(Stride))
        if self.stride == "1x1" and self.backbone not in ("resnet50", "resnet101"):
            raise ConfigError(f'stride "1x1" needs bottleneck blocks, {self.backbone} has none: use "3x3"')
        if type(self.bn_eps) not in (int, float) or not 0 <= self.bn_eps < 1:
            raise ConfigError(f"bn_eps must lie between 0 and 1, or be 0 for the backbone's own; got {self.bn_eps!r}")
        if self.bn_eps == 0:
            # A stored configuration says the number, so that no reader has to know the backbone's own.
            object.__setattr__(self, "bn_eps", _PUBLISHED[self.backbone].bn_eps)
        if type(self.unit_length) is not bool:
            raise ConfigError(f"unit_length must be true or false, got {self.unit_length!r}")

    @property
    def trunk_width(self) -> int:
        """Channels of the trunk's output: 256 for resnet18/34, 1024 for resnet50/101, 112 for efficientnet_lite0."""
        return _PUBLISHED[self.backbone].trunk_width

    @property
    def layer4_width(self) -> int:
        """Channels of layer4's output: 512 for resnet18/34, 2048 for resnet50/101, 1280 for efficientnet_lite0."""
        return _PUBLISHED[self.backbone].layer4_width


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
        _check_choice("transform", self.transform, get_args(Transform))
        _check_choice("padding", self.padding, get_args(Padding))
        _check_choice("aligned", self.aligned, get_args(Aligned))
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


NetworkConfig = SANetConfig | BaselineConfig

_ARCHITECTURES: Final[dict[str, type[SANetConfig] | type[BaselineConfig]]] = {
    "sanet": SANetConfig,
    "baseline": BaselineConfig,
}


def config_to_dict(config: NetworkConfig) -> dict[str, Any]:
    """The configuration as plain JSON values, with its ``architecture`` beside its fields."""
    architecture = next(name for name, kind in _ARCHITECTURES.items() if type(config) is kind)
    return {"architecture": architecture, **dataclasses.asdict(config)}


def config_from_dict(fields: dict[str, Any]) -> NetworkConfig:
    """The inverse of `config_to_dict`.

    Raises:
        ConfigError: an unknown architecture or field, or a value that no network has.
    """
    fields = dict(fields)
    architecture = fields.pop("architecture", None)
    _check_choice("architecture", architecture, tuple(_ARCHITECTURES))
    try:
        return _ARCHITECTURES[str(architecture)](**fields)
    except TypeError as error:
        raise ConfigError(f"the configuration does not fit {architecture!r}: {error}") from None


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(map(str, choices))}; got {value!r}")
