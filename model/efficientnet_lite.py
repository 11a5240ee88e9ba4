"""EfficientNet-Lite0 (Tan & Le 2019; TensorFlow's "lite" variant) in two pieces: the trunk and layer4.

EfficientNet-B0 without squeeze-and-excitation and with ReLU6. Its padding is TensorFlow's "SAME": where a convolution
halves the map, the odd pixel is padded below and on the right, not above and on the left as in torchvision. Its
BatchNorm has PyTorch's momentum, not the published 0.01: a short training's statistics would still be the first ones.
"""

import math
from collections import OrderedDict
from typing import Final, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from model.config import BackboneConfig

_STEM_WIDTH: Final = 32


class Stage(NamedTuple):
    """Blocks of one kind, one after the other; only the first one changes the width, and halves the map at stride 2."""

    name: str
    num_blocks: int
    kernel: int
    stride: int
    expansion: int
    width: int


TRUNK_STAGES: Final = (
    Stage("stage1", 1, kernel=3, stride=1, expansion=1, width=16),
    Stage("stage2", 2, kernel=3, stride=2, expansion=6, width=24),
    Stage("stage3", 2, kernel=5, stride=2, expansion=6, width=40),
    Stage("stage4", 3, kernel=3, stride=2, expansion=6, width=80),
    Stage("stage5", 3, kernel=5, stride=1, expansion=6, width=112),
)
LAYER4_STAGES: Final = (
    Stage("stage6", 4, kernel=5, stride=2, expansion=6, width=192),
    Stage("stage7", 1, kernel=3, stride=1, expansion=6, width=320),
)


def build_trunk(config: BackboneConfig) -> nn.Sequential:
    """Stem and stages 1 to 5: (N, 3, H, W) -> (N, 112, H/16, W/16)."""
    stem = _convolution(config, 3, _STEM_WIDTH, kernel=3, stride=2)
    stages = _build_stages(config, _STEM_WIDTH, TRUNK_STAGES)
    return _initialized(nn.Sequential(OrderedDict([("stem", stem), *stages])))


def build_layer4(config: BackboneConfig, *, stride: int) -> nn.Sequential:
    """Stages 6 and 7 and the head: (N, 112, H, W) -> (N, 1280, H/stride, W/stride), rounded up."""
    first, last = LAYER4_STAGES
    stages = _build_stages(config, config.trunk_width, (first._replace(stride=stride), last))
    head = _convolution(config, last.width, config.layer4_width, kernel=1)
    return _initialized(nn.Sequential(OrderedDict([*stages, ("head", head)])))


class InvertedResidual(nn.Module):
    """Wide inside, narrow outside: 1x1 convolution, depthwise convolution, 1x1 convolution (Sandler et al. 2018)."""

    def __init__(self, config: BackboneConfig, width_in: int, stage: Stage, stride: int) -> None:
        super().__init__()
        inner = width_in * stage.expansion
        self.expand = _convolution(config, width_in, inner, kernel=1) if stage.expansion > 1 else nn.Identity()
        self.depthwise = _convolution(config, inner, inner, kernel=stage.kernel, stride=stride, groups=inner)
        self.project = _convolution(config, inner, stage.width, kernel=1, activation=False)
        self.has_shortcut = stride == 1 and width_in == stage.width

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H/stride, W/stride)."""
        changed: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + changed if self.has_shortcut else changed


class SamePadConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding, which depends on the size of the map: H -> ceil(H / stride)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, ceil(H / stride), ceil(W / stride))."""
        top, bottom = self._padding(x.shape[2])
        left, right = self._padding(x.shape[3])
        return super().forward(F.pad(x, (left, right, top, bottom)))

    def _padding(self, size: int) -> tuple[int, int]:
        """Zeros before and after a side of this size: as few as needed, the odd one after."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        covered = (math.ceil(size / stride) - 1) * stride + kernel
        total = max(covered - size, 0)
        return total // 2, total - total // 2


def _build_stages(config: BackboneConfig, width: int, stages: tuple[Stage, ...]) -> list[tuple[str, nn.Sequential]]:
    named: list[tuple[str, nn.Sequential]] = []
    for stage in stages:
        first = InvertedResidual(config, width, stage, stage.stride)
        others = [InvertedResidual(config, stage.width, stage, stride=1) for _ in range(stage.num_blocks - 1)]
        named.append((stage.name, nn.Sequential(first, *others)))
        width = stage.width
    return named


def _convolution(
    config: BackboneConfig,
    width_in: int,
    width_out: int,
    *,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    activation: bool = True,
) -> nn.Sequential:
    """Convolution, BatchNorm and, unless it is the last of a block, ReLU6."""
    conv: nn.Conv2d
    if stride == 1:  # "SAME" is the same before and after, whatever the size
        conv = nn.Conv2d(width_in, width_out, kernel, padding=kernel // 2, groups=groups, bias=False)
    else:
        conv = SamePadConv2d(width_in, width_out, kernel, stride, groups=groups, bias=False)
    norm = nn.BatchNorm2d(width_out, eps=config.bn_eps)
    layers: list[tuple[str, nn.Module]] = [("conv", conv), ("norm", norm)]
    if activation:
        layers.append(("activation", nn.ReLU6(inplace=True)))
    return nn.Sequential(OrderedDict(layers))


def _initialized(layers: nn.Sequential) -> nn.Sequential:
    """As torchvision initialises EfficientNets; BatchNorm starts at weight 1 and bias 0 by itself."""
    for module in layers.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    return layers
