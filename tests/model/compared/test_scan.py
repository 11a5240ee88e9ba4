import numpy as np
import torch

from model.compared.scan import SCAN, ParallelAttention
from model.config import SCANConfig
from tests.model.compared.maps import Array, array, images_of, linear, network_of, relu, sigmoid, spatial_weights


def naive_attention(attention: ParallelAttention, feature_map: Array) -> Array:
    """A map (C, H, W), each cell times its weight and each channel times its weight."""
    cells = spatial_weights(attention.spatial, feature_map)
    hidden = relu(linear(attention.channel.hidden, feature_map.mean(axis=(1, 2))))
    channels = sigmoid(linear(attention.channel.weight, hidden))
    return feature_map * cells[None] * channels[:, None, None]


def test_it_is_its_attentions_by_hand() -> None:
    network = network_of(SCANConfig("resnet18"))
    assert isinstance(network, SCAN)
    images = images_of(2)
    with torch.no_grad():
        maps = array(network.trunk(network.normalization(images)))
        refined = np.stack([naive_attention(network.trunk_attention, one) for one in maps])
        last = array(network.layer4(torch.from_numpy(refined)))
        output = network(images)
    for feature_map, found in zip(last, array(output.embedding), strict=True):
        pooled = naive_attention(network.layer4_attention, feature_map).mean(axis=(1, 2))
        np.testing.assert_allclose(found, linear(network.reduction, pooled), rtol=1e-8, atol=1e-10)
    assert output.embedding.shape == (2, network.config.embedding_dim) == (2, 512)
    assert torch.equal(output.theta, torch.eye(2, 3).expand(2, 2, 3))


def test_the_weights_differ_from_cell_to_cell_and_from_channel_to_channel() -> None:
    attention = ParallelAttention(32).double()
    features = torch.rand(1, 32, 3, 5, dtype=torch.float64)
    share = (attention(features) / features)[0]
    assert ((share > 0) & (share < 1)).all()
    assert share.std(dim=(1, 2)).min() > 0
    assert share.std(dim=0).min() > 0
