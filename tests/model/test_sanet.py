import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model.alignment import theta_from_parameters
from model.build import build_network
from model.config import Backbone, SANetConfig, Transform
from model.sanet import GlobalBranch, SANet, SpatialBranch
from tests.model import naive

ALIGNING: list[Transform] = ["affine", "similarity", "rotation"]


def fresh(config: SANetConfig) -> SANet:
    """A fresh network whose BatchNorm statistics are random too, as if it had been trained."""
    network = build_network(config)
    assert isinstance(network, SANet)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


def pictures(num: int, side: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(5).random((num, 3, side, side), np.float32))


def without_alignment(network: SANet) -> SANet:
    with torch.device("meta"):
        twin = SANet(SANetConfig(network.config.backbone, transform="none"), network.normalization)
    missing, surplus = twin.load_state_dict(network.state_dict(), strict=False, assign=True)
    assert not missing
    assert surplus
    assert all(name.startswith("alignment.") for name in surplus)
    return twin.eval()


@pytest.mark.parametrize("transform", ALIGNING)
def test_a_fresh_alignment_changes_nothing(transform: Transform) -> None:
    network = fresh(SANetConfig("resnet18", transform=transform))
    images = pictures(3, 96)
    with torch.no_grad():
        aligned, plain = network(images), without_alignment(network)(images)
    assert torch.equal(aligned.theta, torch.eye(2, 3).expand(3, 2, 3))
    assert torch.equal(plain.theta, aligned.theta)
    torch.testing.assert_close(aligned.embedding, plain.embedding, rtol=1e-4, atol=1e-4)


def test_another_theta_changes_the_parts_and_leaves_the_global_feature(small_network: SANet) -> None:
    images = pictures(2, 64)
    with torch.no_grad():
        aligned, plain = small_network(images), without_alignment(small_network)(images)
    torch.testing.assert_close(aligned.embedding[:, :512], plain.embedding[:, :512])
    change = (aligned.embedding[:, 512:] - plain.embedding[:, 512:]).reshape(2, 4, 512).norm(dim=2)
    assert change.min() > 0.01 * plain.embedding.reshape(2, 5, 512).norm(dim=2).max()


def bottleneck_parameters(channels_in: int, width: int, *, first: bool) -> int:
    channels_out = 4 * width
    convolutions = channels_in * width + 9 * width * width + width * channels_out
    downsample = channels_in * channels_out + 2 * channels_out if first else 0
    return convolutions + 2 * (width + width + channels_out) + downsample


def layer_parameters(channels_in: int, width: int, num_blocks: int) -> int:
    rest = (num_blocks - 1) * bottleneck_parameters(4 * width, width, first=False)
    return bottleneck_parameters(channels_in, width, first=True) + rest


@pytest.mark.parametrize(
    ("num_parts", "embedding_dim", "transform", "num_theta"),
    [
        (2, 2560, "affine", 6),
        (4, 4608, "affine", 6),
        (6, 6656, "affine", 6),
        (2, 2560, "similarity", 4),
        (2, 2560, "rotation", 2),
        (6, 6656, "none", 0),
    ],
)
def test_resnet50_has_the_papers_parameters(
    num_parts: int, embedding_dim: int, transform: Transform, num_theta: int
) -> None:
    stem = 3 * 64 * 7 * 7 + 2 * 64
    trunk = stem + layer_parameters(64, 64, 3) + layer_parameters(256, 128, 4) + layer_parameters(512, 256, 6)
    layer4 = layer_parameters(1024, 512, 3)
    assert trunk + layer4 + 2048 * 1000 + 1000 == 25_557_032  # torchvision's own count of ResNet-50
    localization = (1024 * 128 * 9 + 2 * 128) + (128 * 64 * 9 + 2 * 64) + (1024 * 64 + 64) + num_theta * (64 + 1)
    expected = trunk + 3 * layer4 + (1 + 2 * num_parts) * (2048 * 512 + 512) + (localization if num_theta else 0)
    config = SANetConfig(num_parts=num_parts, transform=transform)
    with torch.device("meta"):
        network = build_network(config)
    assert sum(parameter.numel() for parameter in network.parameters()) == expected
    assert config.embedding_dim == embedding_dim


@pytest.mark.parametrize(
    ("backbone", "num_parts"),
    [("resnet18", 4), ("resnet34", 6), ("resnet50", 2), ("resnet50", 4), ("resnet50", 6), ("resnet101", 2)],
)
def test_the_embedding_is_as_wide_as_the_config_says(backbone: Backbone, num_parts: int) -> None:
    config = SANetConfig(backbone, num_parts=num_parts)
    with torch.device("meta"):
        network = build_network(config)
    with torch.no_grad():
        output = network.to_empty(device="cpu").eval()(torch.zeros(2, 3, 32, 32))
    assert output.embedding.shape == (2, 512 * (1 + 2 * num_parts)) == (2, config.embedding_dim)
    assert output.theta.shape == (2, 2, 3)


def naive_embedding(network: SANet, image: Tensor) -> tuple[naive.Array, naive.Array]:
    """[g, t.., l..] and theta of one image: torch for the convolutions of the ResNet, loops for all that is SANet's."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalized = (image.numpy().astype(np.float64) - mean[:, None, None]) / std[:, None, None]
    features = network.trunk(torch.from_numpy(normalized).float()[None])
    assert network.alignment is not None
    parameters = network.alignment.localization(features)
    theta = theta_from_parameters(parameters, network.config.transform)[0].double().numpy()
    aligned = torch.from_numpy(naive.warp(features[0].double().numpy(), theta, network.config.padding)).float()[None]

    def reduce(pooled: naive.Array, reduction: nn.Module) -> naive.Array:
        assert isinstance(reduction, nn.Conv2d)
        assert reduction.bias is not None
        return np.asarray(reduction.weight[:, :, 0, 0].double() @ torch.from_numpy(pooled) + reduction.bias.double())

    whole = network.global_branch.layer4(features)[0].double().numpy()
    pieces = [reduce(whole.mean(axis=(1, 2)), network.global_branch.reduction)]
    for branch, axis in ((network.top_down_branch, 1), (network.left_right_branch, 2)):
        parts = naive.pool_parts(branch.layer4(aligned)[0].double().numpy(), network.config.num_parts, axis)
        pieces += [reduce(part, reduction) for part, reduction in zip(parts, branch.reductions, strict=True)]
    return np.concatenate(pieces), theta


@pytest.mark.parametrize(
    ("num_parts", "transform", "padding"), [(2, "affine", "zeros"), (4, "similarity", "border"), (6, "affine", "zeros")]
)
def test_the_forward_pass_equals_pooling_and_splitting_by_hand(num_parts: int, transform: str, padding: str) -> None:
    network = fresh(SANetConfig("resnet18", num_parts=num_parts, transform=transform, padding=padding))  # type: ignore[arg-type]
    assert network.alignment is not None
    last = network.alignment.localization[-1]
    assert isinstance(last, nn.Linear)
    torch.nn.init.normal_(last.weight, std=0.05, generator=torch.Generator().manual_seed(1))
    images = pictures(2, 256)
    with torch.no_grad():
        output = network(images)
        expected, expected_theta = naive_embedding(network, images[1])
    assert np.abs(expected_theta - np.eye(2, 3)).max() > 0.02
    np.testing.assert_allclose(output.theta[1].numpy(), expected_theta, atol=1e-4)
    np.testing.assert_allclose(output.embedding[1].numpy(), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_the_spatial_branches_keep_the_16_x_16_map_and_the_global_branch_halves_it(small_network: SANet) -> None:
    with torch.no_grad():
        features = small_network.trunk(pictures(1, 256))
        assert features.shape == (1, 256, 16, 16)
        assert small_network.global_branch.layer4(features).shape == (1, 512, 8, 8)
        assert small_network.top_down_branch is not None
        assert small_network.left_right_branch is not None
        assert small_network.top_down_branch.layer4(features).shape == (1, 512, 16, 16)
        assert small_network.left_right_branch.layer4(features).shape == (1, 512, 16, 16)


def test_the_branches_share_no_tensor(small_network: SANet) -> None:
    assert small_network.top_down_branch is not None
    assert small_network.left_right_branch is not None
    branches: list[nn.Module] = [
        small_network.trunk,
        small_network.global_branch,
        small_network.top_down_branch,
        small_network.left_right_branch,
    ]
    addresses = [tensor.data_ptr() for branch in branches for tensor in branch.state_dict().values()]
    assert len(addresses) == len(set(addresses))
    weights = [branch.state_dict()["layer4.0.conv1.weight"] for branch in branches[1:]]
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])


def test_top_bands_see_the_top_and_left_bands_the_left() -> None:
    config = SANetConfig("resnet18", num_parts=2)
    seen = {}
    for name, axis in (("top_down", 2), ("left_right", 3)):
        branch = SpatialBranch(config, axis=axis)
        branch.layer4 = nn.Sequential()
        for reduction in branch.reductions:
            assert isinstance(reduction, nn.Conv2d)
            assert reduction.bias is not None
            nn.init.constant_(reduction.weight, 1 / 512)
            nn.init.zeros_(reduction.bias)
        corner = torch.zeros(1, 512, 16, 16)
        corner[:, :, :4, 8:] = 1.0  # the upper right
        seen[name] = branch(corner)[0].view(2, 512).mean(dim=1).tolist()
    assert seen["top_down"] == pytest.approx([0.25, 0.0])
    assert seen["left_right"] == pytest.approx([0.0, 0.25])


def test_the_global_feature_is_the_reduced_mean_of_the_map() -> None:
    branch = GlobalBranch(SANetConfig("resnet18"))
    branch.layer4 = nn.Sequential()
    features = torch.rand(2, 512, 3, 5, generator=torch.Generator().manual_seed(2))
    expected = features.double().sum(dim=(2, 3)) / 15 @ branch.reduction.weight[:, :, 0, 0].double().T
    assert branch.reduction.bias is not None
    torch.testing.assert_close(branch(features), (expected + branch.reduction.bias.double()).float())


def test_bytes_and_unit_floats_are_the_same_image(small_network: SANet) -> None:
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (2, 3, 64, 64), np.uint8))
    with torch.no_grad():
        from_bytes, from_floats = small_network(images), small_network(images.float() / 255)
    assert torch.equal(from_bytes.embedding, from_floats.embedding)
    assert torch.equal(from_bytes.theta, from_floats.theta)


def test_the_loss_reaches_the_alignment_from_both_spatial_branches(small_network: SANet) -> None:
    assert small_network.alignment is not None
    last = small_network.alignment.localization[-1]
    assert isinstance(last, nn.Linear)
    embedding = small_network(pictures(1, 64)).embedding[0]
    parts = ((slice(0, 512), False), (slice(512, 1536), True), (slice(1536, 2560), True))
    for part, reached in parts:
        (gradient,) = torch.autograd.grad(embedding[part].sum(), last.bias, retain_graph=True)
        assert bool(gradient.any()) == reached
