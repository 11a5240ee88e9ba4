"""The oracle computes EfficientNet-Lite0 from its table, with the published names of its tensors, layer by layer."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.backbone import build_layer4
from model.baseline import Baseline
from model.build import build_network
from model.config import BackboneConfig, BaselineConfig, SANetConfig
from model.efficientnet_lite import InvertedResidual, SamePadConv2d
from model.pretrained import load_pretrained

# Repeats, kernel, stride, expansion, width in, width out (EfficientNet-B0, Tan & Le 2019, Table 1).
TABLE = [
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
]


def blocks() -> list[tuple[int, int, int, int, int]]:
    """Kernel, stride, expansion, width in and width out of each of the 16 blocks."""
    return [
        (kernel, stride if repeat == 0 else 1, expansion, width_in if repeat == 0 else width_out, width_out)
        for repeats, kernel, stride, expansion, width_in, width_out in TABLE
        for repeat in range(repeats)
    ]


def published_state(seed: int) -> dict[str, Tensor]:
    """Random numbers under the published names."""
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}

    def convolution(name: str, *shape: int) -> None:
        state[f"{name}.weight"] = torch.randn(shape, generator=generator) * math.sqrt(2 / math.prod(shape[1:]))

    def norm(name: str, width: int) -> None:
        state[f"{name}.weight"] = torch.rand(width, generator=generator) + 0.5
        state[f"{name}.bias"] = torch.randn(width, generator=generator) * 0.2
        state[f"{name}.running_mean"] = torch.randn(width, generator=generator) * 0.2
        state[f"{name}.running_var"] = torch.rand(width, generator=generator) + 0.5
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    convolution("_conv_stem", 32, 3, 3, 3)
    norm("_bn0", 32)
    for number, (kernel, _, expansion, width_in, width_out) in enumerate(blocks()):
        inner = expansion * width_in
        if expansion > 1:
            convolution(f"_blocks.{number}._expand_conv", inner, width_in, 1, 1)
            norm(f"_blocks.{number}._bn0", inner)
        convolution(f"_blocks.{number}._depthwise_conv", inner, 1, kernel, kernel)
        norm(f"_blocks.{number}._bn1", inner)
        convolution(f"_blocks.{number}._project_conv", width_out, inner, 1, 1)
        norm(f"_blocks.{number}._bn2", width_out)
    convolution("_conv_head", 1280, 320, 1, 1)
    norm("_bn1", 1280)
    state["_fc.weight"], state["_fc.bias"] = torch.randn(1000, 1280), torch.randn(1000)
    return state


def same_convolution(x: Tensor, weight: Tensor, stride: int, groups: int = 1) -> Tensor:
    """As TensorFlow documents "SAME": ceil(size / stride) outputs, the odd pixel padded at the end."""
    kernel = weight.shape[-1]
    total = [max((math.ceil(size / stride) - 1) * stride + kernel - size, 0) for size in x.shape[2:]]
    (top, left), (bottom, right) = [t // 2 for t in total], [t - t // 2 for t in total]
    return F.conv2d(F.pad(x, (left, right, top, bottom)), weight, stride=stride, groups=groups)


def expected_features(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The pooled features (N, 1280) of normalised images."""

    def norm(name: str, x: Tensor) -> Tensor:
        mean, variance, weight, bias = (
            state[f"{name}.{part}"].view(1, -1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-3).sqrt() * weight + bias

    x = norm("_bn0", same_convolution(x, state["_conv_stem.weight"], 2)).clamp(0, 6)
    for number, (_, stride, expansion, width_in, width_out) in enumerate(blocks()):
        block, before = f"_blocks.{number}", x
        if expansion > 1:
            x = norm(f"{block}._bn0", same_convolution(x, state[f"{block}._expand_conv.weight"], 1)).clamp(0, 6)
        x = same_convolution(x, state[f"{block}._depthwise_conv.weight"], stride, groups=expansion * width_in)
        x = norm(f"{block}._bn1", x).clamp(0, 6)
        x = norm(f"{block}._bn2", same_convolution(x, state[f"{block}._project_conv.weight"], 1))
        x = x + before if stride == 1 and width_in == width_out else x
    return norm("_bn1", same_convolution(x, state["_conv_head.weight"], 1)).clamp(0, 6).mean((2, 3))


@pytest.mark.parametrize("shape", [(64, 64), (64, 48), (96, 80), (70, 51)])
def test_the_loaded_network_computes_what_the_table_says(shape: tuple[int, int], tmp_path: Path) -> None:
    state = published_state(seed=1)
    torch.save(state, tmp_path / "weights.pth")
    network = build_network(BaselineConfig("efficientnet_lite0"))
    assert isinstance(network, Baseline)
    loaded = load_pretrained(network, str(tmp_path / "weights.pth"))
    assert loaded == network.state_dict().keys()
    images = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        (found,), _ = network.eval().branch_features(images)
    expected = expected_features({name: tensor.double() for name, tensor in state.items()}, images.double())
    assert found.shape == (2, 1280)
    assert expected.std() > 0.1
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [(8, 8), (8, 5), (7, 3), (1, 2)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_the_odd_pixel_is_padded_below_and_on_the_right(kernel: int, size: tuple[int, int]) -> None:
    convolution = SamePadConv2d(4, 6, kernel, stride=2, groups=2, bias=False)
    x = torch.randn(2, 4, *size, generator=torch.Generator().manual_seed(3))
    found = convolution(x)
    assert found.shape[2:] == (math.ceil(size[0] / 2), math.ceil(size[1] / 2))
    torch.testing.assert_close(found, same_convolution(x, convolution.weight, 2, groups=2))


def test_layer4_at_stride_1_keeps_the_map_in_its_first_depthwise_convolution() -> None:
    config = BackboneConfig("efficientnet_lite0")
    full, half = build_layer4(config, stride=1).eval(), build_layer4(config, stride=2).eval()
    half.load_state_dict(full.state_dict())
    first_full, first_half = full.get_submodule("stage6.0"), half.get_submodule("stage6.0")
    assert isinstance(first_full, InvertedResidual)
    assert isinstance(first_half, InvertedResidual)
    features = torch.randn(1, 112, 7, 7, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        # On an odd side both are padded by two in front: every second pixel is the same.
        every_pixel = first_full(features)
        assert every_pixel.shape == (1, 192, 7, 7)
        torch.testing.assert_close(every_pixel[..., ::2, ::2], first_half(features), rtol=1e-4, atol=1e-5)


def test_the_blocks_have_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        network = build_network(BaselineConfig("efficientnet_lite0"))
    num_features = sum(parameter.numel() for parameter in network.parameters())
    assert num_features + 1280 * 1000 + 1000 == 4_652_008  # EfficientNet-Lite0, published as 4.7 million
    shortcuts = [module.has_shortcut for module in network.modules() if isinstance(module, InvertedResidual)]
    assert sum(shortcuts) == 9  # all but the first of each of 7 stages


def test_batch_norm_forgets_as_quickly_as_a_short_training_needs() -> None:
    with torch.device("meta"):
        network = build_network(BaselineConfig("efficientnet_lite0"))
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 49
    assert {norm.momentum for norm in norms} == {0.1}


def test_sanet_has_a_layer4_in_each_branch_and_the_usual_embedding() -> None:
    config = SANetConfig("efficientnet_lite0", transform="rotation", aligned="input", num_columns=6, unit_length=True)
    network = build_network(config).eval()
    layer4s = [name for name, _ in network.named_modules() if name.endswith(".layer4")]
    assert layer4s == [f"{branch}_branch.layer4" for branch in ("global", "top_down", "left_right")]
    with torch.no_grad():
        output = network(torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(5)))
    assert output.embedding.shape == (2, 2560)
    torch.testing.assert_close(output.embedding[:, :512].norm(dim=1), torch.ones(2))


def test_a_seed_is_one_network() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(11)
        states.append(build_network(BaselineConfig("efficientnet_lite0")).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    convolution = states[0]["trunk.stem.conv.weight"]
    assert convolution.std() == pytest.approx(math.sqrt(2 / (32 * 9)), rel=0.15)  # He et al. 2015, fan out
