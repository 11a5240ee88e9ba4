import pytest
import torch

from model.build import build_network
from model.config import AMWTLConfig, BaselineConfig, CNNetsConfig, NetworkConfig, RAMConfig, SCANConfig, VSCRConfig
from model.unaligned import UnalignedNetwork

CONFIGS: list[NetworkConfig] = [
    kind("resnet18", unit_length=unit_length)
    for kind in (BaselineConfig, RAMConfig, SCANConfig, VSCRConfig, AMWTLConfig, CNNetsConfig)
    for unit_length in (False, True)
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{type(config).__name__}-{config.unit_length}")
def test_the_embedding_is_its_first_branches_and_theta_the_identity(config: NetworkConfig) -> None:
    network = build_network(config).eval()
    assert isinstance(network, UnalignedNetwork)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        output = network(images)
        aligned, theta = network.align_input(network.normalization(images))
        branches, map_theta = network.branch_features(aligned)
    assert torch.equal(aligned, network.normalization(images))
    assert torch.equal(theta, torch.eye(2, 3).expand(2, 2, 3))
    assert torch.equal(output.theta, theta)
    assert output.theta.dtype == torch.float32
    assert map_theta is None
    embedded = [
        branch / branch.norm(dim=1, keepdim=True) if config.unit_length else branch
        for branch in branches[: network.num_embedded]
    ]
    torch.testing.assert_close(output.embedding, torch.cat(embedded, dim=1), rtol=1e-5, atol=1e-6)
    assert output.embedding.shape == (2, config.embedding_dim)
