"""What every network here has in common: the backbone that it is made of."""

import dataclasses
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

Backbone = Literal["resnet18", "resnet34", "resnet50", "resnet101", "efficientnet_lite0"]
Stride = Literal["3x3", "1x1"]

PART_DIM: Final = 512
"""Width of every reduced feature: g and each of the parts (paper, Table I: 2560 numbers in all for M = 2)."""


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
    """What all networks have in common: the backbone that they are made of.

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
        check_choice("backbone", self.backbone, get_args(Backbone))
        check_choice("stride", self.stride, get_args(Stride))
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


def check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Refuses a value of the field `name` that is none of the choices.

    Raises:
        ConfigError: it is none.
    """
    if value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(map(str, choices))}; got {value!r}")
