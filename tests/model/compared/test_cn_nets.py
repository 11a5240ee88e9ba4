import numpy as np
import pytest
import torch

from model.compared.cn_nets import CNNets
from model.config import CNNetsConfig
from tests.model.compared.maps import array, images_of, linear, network_of


@pytest.mark.parametrize("unit_length", [False, True])
def test_it_is_a_coarse_and_a_fine_feature_by_hand(unit_length: bool) -> None:
    network = network_of(CNNetsConfig("resnet18", unit_length=unit_length))
    assert isinstance(network, CNNets)
    images = images_of(2)
    with torch.no_grad():
        features = network.trunk(network.normalization(images))
        maps = array(features), array(network.layer4(features))
        output = network(images)
    for index, found in enumerate(array(output.embedding)):
        reductions = (network.coarse_reduction, network.fine_reduction)
        parts = [linear(r, m[index].mean(axis=(1, 2))) for r, m in zip(reductions, maps, strict=True)]
        if unit_length:
            parts = [part / np.linalg.norm(part) for part in parts]
        np.testing.assert_allclose(found, np.concatenate(parts), rtol=1e-8, atol=1e-10)
    assert output.embedding.shape == (2, network.config.embedding_dim) == (2, 1024)
    assert torch.equal(output.theta, torch.eye(2, 3).expand(2, 2, 3))


def test_the_squared_distance_is_the_sum_of_the_coarse_and_the_fine_ones() -> None:
    network = network_of(CNNetsConfig("resnet18", unit_length=True))
    with torch.no_grad():
        one, other = array(network(images_of(2)).embedding)
    coarse, fine = (float(((one[part] - other[part]) ** 2).sum()) for part in (slice(512), slice(512, None)))
    assert coarse > 0
    assert fine > 0
    assert float(((one - other) ** 2).sum()) == pytest.approx(coarse + fine)
