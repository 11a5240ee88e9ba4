"""The backbone that every network here is built from, in two pieces: the trunk and layer4.

Whatever the backbone, the trunk maps (N, 3, H, W) to (N, `config.trunk_width`, H/16, W/16), and a layer4 that to
(N, `config.layer4_width`, H/16/stride, W/16/stride). The trunk is shared; each branch has a layer4 of its own.
"""

from torch import nn

from model import efficientnet_lite
from model.config import BackboneConfig

# `model.resnet` is imported where a ResNet is built: torchvision brings a third of what a process that serves imports,
# torch's compiler among it.


def build_trunk(config: BackboneConfig) -> nn.Sequential:
    """All layers down to a sixteenth of the input's side, with fresh weights."""
    if config.backbone == "efficientnet_lite0":
        return efficientnet_lite.build_trunk(config)
    from model import resnet

    return resnet.build_trunk(config)


def build_layer4(config: BackboneConfig, *, stride: int) -> nn.Sequential:
    """The layers after the trunk, with fresh weights.

    Stride 1 keeps the map that the spatial branches cut into parts (paper, Fig. 2; PCB); stride 2 halves it.
    """
    if stride not in (1, 2):
        raise ValueError(f"layer4 runs at stride 1 or 2, got {stride}")
    if config.backbone == "efficientnet_lite0":
        return efficientnet_lite.build_layer4(config, stride=stride)
    from model import resnet

    return resnet.build_layer4(config, stride=stride)
