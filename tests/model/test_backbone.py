from typing import get_args

import pytest
import torch
from torch import nn

from model.backbone import build_layer4, build_trunk
from model.config import Backbone, BackboneConfig

WIDTHS = {
    "resnet18": (256, 512),
    "resnet34": (256, 512),
    "resnet50": (1024, 2048),
    "resnet101": (1024, 2048),
    "efficientnet_lite0": (112, 1280),
}


@pytest.mark.parametrize("backbone", get_args(Backbone))
def test_the_widths_and_the_maps_are_as_documented(backbone: Backbone) -> None:
    config = BackboneConfig(backbone)
    trunk_width, layer4_width = WIDTHS[backbone]
    assert (config.trunk_width, config.layer4_width) == (trunk_width, layer4_width)
    with torch.device("meta"):
        features = build_trunk(config)(torch.empty(2, 3, 256, 192))
        assert features.shape == (2, trunk_width, 16, 12)
        assert build_layer4(config, stride=1)(features).shape == (2, layer4_width, 16, 12)
        assert build_layer4(config, stride=2)(features).shape == (2, layer4_width, 8, 6)


@pytest.mark.parametrize("backbone", get_args(Backbone))
def test_a_map_of_odd_width_is_halved_upwards(backbone: Backbone) -> None:
    config = BackboneConfig(backbone)
    with torch.device("meta"):
        features = build_trunk(config)(torch.empty(1, 3, 128, 80))
        assert features.shape[2:] == (8, 5)
        assert build_layer4(config, stride=2)(features).shape[2:] == (4, 3)
        assert build_layer4(config, stride=1)(features).shape[2:] == (8, 5)


@pytest.mark.parametrize(
    ("backbone", "given", "expected"),
    [
        ("resnet18", 0.0, 1e-5),
        ("resnet50", 0.0, 1e-5),
        ("resnet50", 1.001e-5, 1.001e-5),
        ("efficientnet_lite0", 0.0, 1e-3),
        ("efficientnet_lite0", 2e-3, 2e-3),
    ],
)
def test_bn_eps_is_that_of_every_batch_norm(backbone: Backbone, given: float, expected: float) -> None:
    config = BackboneConfig(backbone, bn_eps=given)
    with torch.device("meta"):
        pieces = [build_trunk(config), build_layer4(config, stride=1), build_layer4(config, stride=2)]
    for piece in pieces:
        assert {module.eps for module in piece.modules() if isinstance(module, nn.BatchNorm2d)} == {expected}


@pytest.mark.parametrize("backbone", ["resnet18", "efficientnet_lite0"])
@pytest.mark.parametrize("stride", [0, 3, 4])
def test_no_other_stride_is_built(backbone: Backbone, stride: int) -> None:
    with pytest.raises(ValueError, match=f"stride 1 or 2, got {stride}"):
        build_layer4(BackboneConfig(backbone), stride=stride)
