"""The two pieces of torchvision's ResNet that every network here is built from: the trunk and layer4."""

from collections import OrderedDict
from functools import partial

import torchvision
from torch import nn
from torchvision.models.resnet import Bottleneck

from model.config import BackboneConfig

# conv1 to layer3: 3 x 256 x 256 -> C x 16 x 16.
TRUNK_LAYERS = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")


def build_trunk(config: BackboneConfig) -> nn.Sequential:
    """conv1 .. layer3, with torchvision's names: (N, 3, S, S) -> (N, trunk_width, S/16, S/16)."""
    resnet = _build_resnet(config)
    return nn.Sequential(OrderedDict((name, getattr(resnet, name)) for name in TRUNK_LAYERS))


def build_layer4(config: BackboneConfig, *, stride: int) -> nn.Sequential:
    """A layer4 of its own: (N, trunk_width, H, W) -> (N, layer4_width, H/stride, W/stride).

    Stride 1 keeps the 16 x 16 map that the spatial branches cut into parts (paper, Sec. III-A; PCB).
    """
    layer4: nn.Sequential = _build_resnet(config).layer4
    if stride == 1:
        for module in layer4[0].modules():
            if isinstance(module, nn.Conv2d):
                module.stride = (1, 1)
    elif stride != 2:
        raise ValueError(f"layer4 runs at stride 1 or 2, got {stride}")
    return layer4


def trunk_width(config: BackboneConfig) -> int:
    """Channels of the trunk's output: 256 for resnet18/34, 1024 for resnet50/101."""
    return layer4_width(config) // 2


def layer4_width(config: BackboneConfig) -> int:
    """Channels of layer4's output: 512 for resnet18/34, 2048 for resnet50/101."""
    return config.layer4_width


def _build_resnet(config: BackboneConfig) -> torchvision.models.ResNet:
    norm_layer = partial(nn.BatchNorm2d, eps=config.bn_eps)
    resnet = torchvision.models.get_model(config.backbone, weights=None, norm_layer=norm_layer)
    if config.stride == "1x1":
        for layer in (resnet.layer2, resnet.layer3, resnet.layer4):
            block: Bottleneck = layer[0]
            block.conv1.stride, block.conv2.stride = block.conv2.stride, (1, 1)
    return resnet
