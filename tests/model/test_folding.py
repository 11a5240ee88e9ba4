import copy

import pytest
import torch
from torch import Tensor, nn

from model.build import build_network
from model.config import BaselineConfig, SANetConfig
from model.folding import fold_batch_norms
from model.preprocessing import Preprocessing

NETWORKS = [
    SANetConfig("resnet18"),
    SANetConfig("resnet50"),
    SANetConfig("efficientnet_lite0", aligned="input", transform="rotation"),
    BaselineConfig("resnet18"),
]


def lively(network: nn.Module) -> nn.Module:
    """Statistics and factors as training leaves them: none is 0 or 1."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight, 0.5, 1.5),
                (module.bias, -0.5, 0.5),
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
            ):
                assert tensor is not None
                with torch.no_grad():
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
    return network.eval()


@pytest.mark.parametrize("config", NETWORKS, ids=lambda config: f"{type(config).__name__}-{config.backbone}")
def test_a_folded_network_embeds_as_before_without_any_norm(config: SANetConfig | BaselineConfig) -> None:
    network = lively(build_network(config, Preprocessing(size_px=64)))
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    num_norms = sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    with torch.inference_mode():
        expected = network(images)
    folded = copy.deepcopy(network)
    assert fold_batch_norms(folded, torch.zeros(1, 3, 64, 64)) == num_norms > 0
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    with torch.inference_mode():
        found = folded(images)
    torch.testing.assert_close(found.theta, expected.theta, atol=1e-4, rtol=0)
    error = (found.embedding - expected.embedding).norm(dim=1) / expected.embedding.norm(dim=1)
    assert error.max() < 1e-4


class Odd(nn.Module):
    """Norms that do not follow their convolution alone."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Conv2d(3, 3, 1)
        self.first, self.second = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.activated, self.after_activation = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
        self.in_place = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(inplace=True), nn.BatchNorm2d(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.shared(self.first(self.shared(x))))
        result: Tensor = self.in_place(self.after_activation(self.activated(x).relu()))
        return result


def test_a_norm_that_cannot_be_folded_stays() -> None:
    network = lively(Odd())
    images = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        expected = network(images)
        fold_batch_norms(network, images[:1])
        torch.testing.assert_close(network(images), expected)
