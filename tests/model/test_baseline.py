from typing import get_args

import pytest
import torch
import torchvision

from model.baseline import Baseline
from model.build import build_network
from model.config import Backbone, BaselineConfig

WIDTHS = {"resnet18": 512, "resnet34": 512, "resnet50": 2048, "resnet101": 2048, "efficientnet_lite0": 1280}


def test_it_is_torchvisions_resnet_without_its_last_layer() -> None:
    network = build_network(BaselineConfig("resnet18")).eval()
    assert isinstance(network, Baseline)
    resnet = torchvision.models.resnet18(weights=None).eval()
    resnet.fc = torch.nn.Identity()
    state = {f"{'' if name.startswith('layer4') else 'trunk.'}{name}": t for name, t in resnet.state_dict().items()}
    network.load_state_dict(state)
    images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    normalize = torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        output, expected = network(images), resnet(normalize(images))
    torch.testing.assert_close(output.embedding, expected)
    assert torch.equal(output.theta, torch.eye(2, 3).expand(2, 2, 3))
    assert output.theta.dtype == torch.float32


@pytest.mark.parametrize("backbone", get_args(Backbone))
def test_its_embedding_is_as_wide_as_layer4(backbone: Backbone) -> None:
    config = BaselineConfig(backbone)
    with torch.device("meta"):
        output = build_network(config).eval()(torch.empty(3, 3, 64, 64))
    assert output.embedding.shape == (3, config.embedding_dim)
    assert config.embedding_dim == WIDTHS[backbone]


def test_features_of_unit_length_are_those_of_the_plain_network_divided_by_their_length() -> None:
    plain = build_network(BaselineConfig("resnet18")).eval()
    unit = build_network(BaselineConfig("resnet18", unit_length=True)).eval()
    unit.load_state_dict(plain.state_dict())
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = plain(images).embedding.double(), unit(images).embedding
    assert (expected.norm(dim=1) - 1).abs().min() > 0.1
    torch.testing.assert_close(found.double(), expected / expected.norm(dim=1, keepdim=True), rtol=1e-5, atol=1e-6)
