import pytest
import torch
import torchvision
from torch import Tensor

from model.config import Backbone, BackboneConfig
from model.resnet import build_layer4, build_trunk


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_trunk_and_layer4_are_torchvisions(backbone: Backbone) -> None:
    resnet = torchvision.models.get_model(backbone, weights=None).eval()
    trunk, layer4 = build_trunk(BackboneConfig(backbone)), build_layer4(BackboneConfig(backbone), stride=2)
    trunk.load_state_dict({k: v for k, v in resnet.state_dict().items() if not k.startswith(("layer4.", "fc."))})
    layer4.load_state_dict(resnet.layer4.state_dict())
    seen = []
    resnet.avgpool.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    images = noise(1, 3, 64, 64)
    with torch.no_grad():
        resnet(images)
        torch.testing.assert_close(layer4.eval()(trunk.eval()(images)), seen[0])


@pytest.mark.parametrize(
    ("backbone", "piece"), [("resnet18", "0.conv1"), ("resnet18", "0.downsample"), ("resnet50", "0")]
)
def test_stride_1_computes_the_pixels_that_stride_2_leaves_out(backbone: Backbone, piece: str) -> None:
    config = BackboneConfig(backbone)
    full, half = build_layer4(config, stride=1).eval(), build_layer4(config, stride=2).eval()
    half.load_state_dict(full.state_dict())
    features = noise(1, config.trunk_width, 8, 8)
    with torch.no_grad():
        every_pixel = full.get_submodule(piece)(features)
        assert every_pixel.shape[2:] == (8, 8)
        torch.testing.assert_close(every_pixel[..., ::2, ::2], half.get_submodule(piece)(features))


def test_a_v1_block_sees_every_second_pixel_only() -> None:
    config = BackboneConfig("resnet50", "1x1")
    full, half = build_layer4(config, stride=1).eval(), build_layer4(config, stride=2).eval()
    half.load_state_dict(full.state_dict())
    features = noise(1, 1024, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(half[0](features), full[0](features[..., ::2, ::2]))


def test_v1_strides_sit_in_the_first_convolution_and_v15_strides_in_the_second() -> None:
    for stride, first, second in (("1x1", (2, 2), (1, 1)), ("3x3", (1, 1), (2, 2))):
        trunk = build_trunk(BackboneConfig("resnet50", stride))  # type: ignore[arg-type]
        for block in (trunk.get_submodule("layer2.0"), trunk.get_submodule("layer3.0")):
            assert block.get_submodule("conv1").stride == first
            assert block.get_submodule("conv2").stride == second
        for block in (trunk.get_submodule("layer1.0"), trunk.get_submodule("layer2.1")):
            assert block.get_submodule("conv1").stride == block.get_submodule("conv2").stride == (1, 1)
