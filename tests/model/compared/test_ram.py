import numpy as np
import pytest
import torch

from model.compared.ram import RAM, RegionBranch
from model.config import RAMConfig
from tests.model.compared.maps import Array, array, images_of, linear, network_of, relu


def naive_embedding(network: RAM, feature_map: Array) -> list[Array]:
    """Conv, BN, regions, attributes of one map (C, H, W)."""
    hidden = relu(linear(network.conv_branch.fc6, feature_map.mean(axis=(1, 2))))
    conv = relu(linear(network.conv_branch.fc7, hidden))

    norm = network.normalize_map
    state = {name: array(tensor) for name, tensor in norm.state_dict().items()}
    names = ("running_mean", "running_var", "weight", "bias")
    mean, variance, weight, bias = (state[name][:, None, None] for name in names)
    normalized = relu((feature_map - mean) / np.sqrt(variance + norm.eps) * weight + bias)
    bn = relu(linear(network.bn_branch.fc6, normalized.mean(axis=(1, 2))))
    bn = relu(linear(network.bn_branch.fc7, bn))

    regions = []
    height = feature_map.shape[1]
    for region, (begin, end) in enumerate(((0, 3), (1, 5), (3, 6))):
        rows = [row for row in range(height) if row + 1 > begin * height / 6 and row < end * height / 6]
        pooled = feature_map[:, rows].mean(axis=(1, 2))
        first, second = network.region_branch.hidden[region], network.region_branch.output[region]
        regions.append(relu(linear(second, relu(linear(first, pooled)))))

    attributes = relu(linear(network.attribute_branch, hidden))
    return [conv, bn, np.concatenate(regions), attributes]


@pytest.mark.parametrize("side", [64, 96])
@pytest.mark.parametrize("unit_length", [False, True])
def test_it_is_its_branches_by_hand(unit_length: bool, side: int) -> None:
    network = network_of(RAMConfig("resnet18", unit_length=unit_length))
    assert isinstance(network, RAM)
    # Statistics that normalise something.
    network.normalize_map.running_mean.uniform_(-0.5, 0.5)  # type: ignore[union-attr]
    network.normalize_map.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
    images = images_of(side=side)
    with torch.no_grad():
        maps = array(network.layer4(network.trunk(network.normalization(images))))
        output = network(images)
    assert maps.shape == (3, 512, side // 16, side // 16)
    for feature_map, found in zip(maps, array(output.embedding), strict=True):
        branches = naive_embedding(network, feature_map)
        if unit_length:
            branches = [branch / np.linalg.norm(branch) for branch in branches]
        np.testing.assert_allclose(found, np.concatenate(branches), rtol=1e-8, atol=1e-10)
    assert output.embedding.shape == (3, network.config.embedding_dim) == (3, 1472)
    assert torch.equal(output.theta, torch.eye(2, 3).expand(3, 2, 3))


def test_a_region_sees_its_own_rows_alone() -> None:
    branch = RegionBranch(8, 4).double().eval()
    features = torch.rand(1, 8, 6, 6, dtype=torch.float64)
    with torch.no_grad():
        before = branch(features).split(4, dim=1)
        seen = []
        for row in range(6):
            changed = features.clone()
            changed[:, :, row] += 5
            seen.append([not torch.equal(*pair) for pair in zip(before, branch(changed).split(4, dim=1), strict=True)])
    # The published cut of six rows: 1 to 3, 2 to 5, 4 to 6.
    assert seen == [
        [True, False, False], [True, True, False], [True, True, False],
        [False, True, True], [False, True, True], [False, False, True],
    ]  # fmt: skip
