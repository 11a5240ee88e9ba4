import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model.alignment import theta_from_parameters, theta_of_turn, warp
from model.build import build_network
from model.config import Backbone, BaselineConfig, NetworkConfig, SANetConfig, Transform
from model.polar import polar_views, thumbnails
from model.sanet import GlobalBranch, SANet, SpatialBranch, join_branches
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
    [
        ("resnet18", 4),
        ("resnet34", 6),
        ("resnet50", 2),
        ("resnet50", 4),
        ("resnet50", 6),
        ("resnet101", 2),
        ("efficientnet_lite0", 2),
        ("efficientnet_lite0", 6),
    ],
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
        assert branch is not None
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
    # Two runs in one process: equal but for the order in which a kernel sums, about 1e-7.
    torch.testing.assert_close(from_bytes.embedding, from_floats.embedding, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(from_bytes.theta, from_floats.theta, rtol=0, atol=1e-5)


def test_the_loss_reaches_the_alignment_from_both_spatial_branches(small_network: SANet) -> None:
    assert small_network.alignment is not None
    last = small_network.alignment.localization[-1]
    assert isinstance(last, nn.Linear)
    embedding = small_network(pictures(1, 64)).embedding[0]
    parts = ((slice(0, 512), False), (slice(512, 1536), True), (slice(1536, 2560), True))
    for part, reached in parts:
        (gradient,) = torch.autograd.grad(embedding[part].sum(), last.bias, retain_graph=True)
        assert bool(gradient.any()) == reached


def test_without_parts_there_is_the_global_branch_alone(small_network: SANet) -> None:
    network = SANet(SANetConfig("resnet18", num_parts=0, transform="none")).eval()
    assert network.top_down_branch is network.left_right_branch is None
    missing, surplus = network.load_state_dict(small_network.state_dict(), strict=False)
    assert not missing
    assert {name.split(".")[0] for name in surplus} == {"alignment", "top_down_branch", "left_right_branch"}
    images = pictures(2, 64)
    with torch.no_grad():
        output, whole = network(images), small_network(images)
    assert output.embedding.shape == (2, 512)
    # Two networks: their weights lie elsewhere in memory, where a kernel may sum in another order.
    torch.testing.assert_close(output.embedding, whole.embedding[:, :512], rtol=1e-4, atol=1e-4)
    assert torch.equal(output.theta, torch.eye(2, 3).expand(2, 2, 3))


@pytest.mark.parametrize("num_parts", [0, 2, 3])
def test_branches_of_unit_length_are_those_of_the_plain_network_divided_by_their_length(num_parts: int) -> None:
    plain = fresh(SANetConfig("resnet18", num_parts=num_parts, transform="none"))
    unit = fresh(SANetConfig("resnet18", num_parts=num_parts, transform="none", unit_length=True))
    unit.load_state_dict(plain.state_dict())
    with torch.no_grad():
        expected, found = plain(pictures(2, 64)).embedding.double(), unit(pictures(2, 64)).embedding
    spatial = num_parts * 512
    for start, end in ((0, 512), (512, 512 + spatial), (512 + spatial, 512 + 2 * spatial))[: 3 if num_parts else 1]:
        lengths = expected[:, start:end].norm(dim=1, keepdim=True)
        assert (lengths - 1).abs().min() > 0.01
        torch.testing.assert_close(found[:, start:end].double(), expected[:, start:end] / lengths, rtol=1e-5, atol=1e-6)
    assert end == found.shape[1]


# --- an aligned input


def blobs(num: int, seed: int) -> Tensor:
    """Smooth pictures of 128 pixels a side, normalised, which fade into the mean colour towards the rim of a disc."""
    noise = torch.randn(num, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    x = (torch.arange(128) + 0.5) / 64 - 1
    inside = (1 - (x**2 + x[:, None] ** 2)).clamp_min(0)
    return nn.functional.interpolate(noise, size=128, mode="bicubic") * inside


def seen(network: SANet, normalized: Tensor) -> Tensor:
    """What such pictures are before the network normalises them."""
    return normalized * network.normalization.std + network.normalization.mean


@pytest.fixture(scope="module")
def input_aligned() -> SANet:
    """Whose heading is as if it had been learned: its pattern is one that some picture has."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        network = fresh(SANetConfig("resnet18", transform="rotation", aligned="input"))
        assert network.input_alignment is not None
        heading = network.input_alignment.heading
        with torch.no_grad():
            heading.pattern.copy_(heading.circle(polar_views(thumbnails(blobs(1, seed=7))))[0])
    return network


def test_a_turned_vehicle_has_nearly_the_same_embedding_beside_another_vehicles(input_aligned: SANet) -> None:
    images = blobs(6, seed=1)
    turned = warp(images, theta_of_turn(torch.deg2rad(torch.tensor([20.0, 75.0, -130.0, 180.0, 90.0, -45.0]))), "zeros")

    def off(network: SANet) -> tuple[Tensor, Tensor]:
        """Distances of each picture to itself, turned, and to the next picture, as that is."""
        with torch.no_grad():
            own, again = (network(seen(network, pictures)).embedding for pictures in (images, turned))
        return (own - again).norm(dim=1), (own - own.roll(1, 0)).norm(dim=1)

    itself, other = off(input_aligned)
    assert itself.median() < 0.25 * other.median()
    unaligned = SANet(SANetConfig("resnet18", transform="none")).eval()
    unaligned.load_state_dict(input_aligned.state_dict(), strict=False)
    itself, other = off(unaligned)
    assert itself.median() > 0.6 * other.median()


def test_an_inputs_theta_is_a_rotation_and_turns_back_what_was_turned(input_aligned: SANet) -> None:
    images = blobs(4, seed=2)
    turn = torch.deg2rad(torch.tensor([40.0, -100.0, 170.0, 5.0]))
    with torch.no_grad():
        thetas = [
            input_aligned(seen(input_aligned, pictures)).theta
            for pictures in (images, warp(images, theta_of_turn(turn), "zeros"))
        ]
    for theta in thetas:
        assert theta.shape == (4, 2, 3)
        assert theta.dtype == torch.float32
        assert theta[:, :, 2].abs().max() == 0
        torch.testing.assert_close(theta[:, :, :2] @ theta[:, :, :2].mT, torch.eye(2).expand(4, 2, 2))
        torch.testing.assert_close(torch.linalg.det(theta[:, :, :2]), torch.ones(4))
        assert (theta - torch.eye(2, 3)).abs().amax(dim=(1, 2)).min() > 0.01
    turned_by = [torch.atan2(theta[:, 1, 0], theta[:, 0, 0]) for theta in thetas]
    off = torch.rad2deg(turned_by[0] - turned_by[1] - turn)
    assert ((off + 180).remainder(360) - 180).abs().median() < 2


@pytest.mark.parametrize(("side", "width"), [(64, 48), (128, 80), (256, 176)])
def test_the_trunk_sees_the_middle_columns_of_the_aligned_input(input_aligned: SANet, side: int, width: int) -> None:
    inputs: list[Tensor] = []
    images = pictures(1, side)
    with torch.no_grad():
        hook = input_aligned.trunk.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
        output = input_aligned(images)
        hook.remove()
        expected = warp(input_aligned.normalization(images), output.theta, "zeros")
    left = (side - width) // 2
    # In float32 a pixel of about 1 is interpolated to 1e-6; the neighbouring column differs by far more.
    torch.testing.assert_close(inputs[0], expected[..., left : left + width], rtol=0, atol=1e-4)
    assert output.embedding.shape == (1, 2560)


@pytest.mark.parametrize("num_columns", [4, 6, 8])
def test_the_trunk_sees_as_many_columns_as_the_config_says(num_columns: int) -> None:
    network = fresh(SANetConfig("resnet18", transform="rotation", aligned="input", num_columns=num_columns))
    widths: list[torch.Size] = []
    network.trunk.register_forward_pre_hook(lambda _, given: widths.append(given[0].shape))
    network.trunk.register_forward_hook(lambda _, given, features: widths.append(features.shape))
    with torch.no_grad():
        assert network(pictures(1, 128)).embedding.shape == (1, 2560)
    assert widths == [(1, 3, 128, 16 * num_columns), (1, 256, 8, num_columns)]


def test_no_gradient_flows_through_the_heading(input_aligned: SANet) -> None:
    images = pictures(1, 64).requires_grad_()
    gradients: tuple[Tensor | None, ...] = torch.autograd.grad(
        input_aligned(images).embedding.sum(), [*input_aligned.parameters(), images], allow_unused=True
    )
    names = [name for name, _ in input_aligned.named_parameters()]
    taught = {name for name, gradient in zip(names, gradients[:-1], strict=True) if gradient is not None}
    assert taught == {name for name in names if not name.startswith("input_alignment.")}
    assert len(taught) < len(names)


# --- the steps of forward

STEPWISE = [
    SANetConfig("resnet18", num_parts=3, unit_length=True),
    SANetConfig("resnet18", transform="rotation", aligned="input", num_columns=2),
    SANetConfig("resnet18", num_parts=0, transform="rotation", aligned="input", unit_length=True),
    SANetConfig("resnet18", num_parts=1, transform="none"),
    BaselineConfig("resnet18", unit_length=True),
]


@pytest.mark.parametrize("config", STEPWISE)
def test_the_steps_one_after_the_other_are_forward(config: NetworkConfig) -> None:
    network = build_network(config).eval()
    images = pictures(2, 64)
    with torch.no_grad():
        expected = network(images)
        aligned, input_theta = network.align_input(network.normalization(images))
        branches, map_theta = network.branch_features(aligned)
    parts = config.num_parts if isinstance(config, SANetConfig) else 0
    assert [branch.shape for branch in branches] == [(2, 512)] + [(2, 512 * parts)] * (2 if parts else 0)
    if config.unit_length:
        assert all((branch.norm(dim=1) - 1).abs().min() > 0.01 for branch in branches)
    found = join_branches(branches, unit_length=config.unit_length)
    torch.testing.assert_close(found, expected.embedding, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(input_theta if map_theta is None else map_theta, expected.theta, rtol=0, atol=1e-5)


def test_what_aligns_nothing_at_the_input_gives_it_back(small_network: SANet) -> None:
    images = pictures(2, 64)
    for network in (small_network, build_network(BaselineConfig("resnet18"))):
        aligned, theta = network.align_input(images)
        assert torch.equal(aligned, images)
        assert torch.equal(theta, torch.eye(2, 3).expand(2, 2, 3))


def test_only_an_aligned_map_gives_a_theta_beside_its_branches(small_network: SANet, input_aligned: SANet) -> None:
    with torch.no_grad():
        _, theta = small_network.branch_features(pictures(2, 64))
        assert theta is not None
        assert (theta - torch.eye(2, 3)).abs().max() > 0.01
        assert input_aligned.branch_features(pictures(2, 64))[1] is None
        aligned, turned = input_aligned.align_input(pictures(2, 64))
    assert aligned.shape == (2, 3, 64, 48)
    assert (turned - torch.eye(2, 3)).abs().max() > 0.01


def test_branches_are_joined_in_order_and_each_brought_to_its_own_unit_length() -> None:
    branches = [torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 0.0, -2.0]])]
    assert join_branches(branches, unit_length=False).tolist() == [[3, 4, 0, 0, -2]]
    assert join_branches(branches, unit_length=True).tolist() == [pytest.approx([0.6, 0.8, 0, 0, -1])]
