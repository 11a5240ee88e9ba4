"""torchvision's ResNet in two pieces: the trunk and layer4."""

from collections import OrderedDict
from functools import partial
from typing import Final

import torchvision
from torch import nn
from torchvision.models.resnet import Bottleneck

from model.config import BackboneConfig

# conv1 to layer3: 3 x 256 x 256 -> C x 16 x 16.
TRUNK_LAYERS: Final = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")


def build_trunk(config: BackboneConfig) -> nn.Sequential:
    """conv1 .. layer3, with torchvision's names: (N, 3, H, W) -> (N, C, H/16, W/16), C the config's `trunk_width`."""
    resnet = _build_resnet(config)
    return nn.Sequential(OrderedDict((name, getattr(resnet, name)) for name in TRUNK_LAYERS))


def build_layer4(config: BackboneConfig, *, stride: int) -> nn.Sequential:
    """A layer4 of its own, at stride 1 or 2: (N, C, H, W) -> (N, `layer4_width`, H/stride, W/stride)."""
    layer4: nn.Sequential = _build_resnet(config).layer4
    if stride == 1:
        for module in layer4[0].modules():
            if isinstance(module, nn.Conv2d):
                module.stride = (1, 1)
    return layer4


def _build_resnet(config: BackboneConfig) -> torchvision.models.ResNet:
    norm_layer = partial(nn.BatchNorm2d, eps=config.bn_eps)
    resnet = torchvision.models.get_model(config.backbone, weights=None, norm_layer=norm_layer)
    if config.stride == "1x1":
        for layer in (resnet.layer2, resnet.layer3, resnet.layer4):
            block: Bottleneck = layer[0]
            block.conv1.stride, block.conv2.stride = block.conv2.stride, (1, 1)
    return resnet
