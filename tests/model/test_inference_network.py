import numpy as np
import pytest
import torch
from torch import nn

from model.build import build_network
from model.config import BaselineConfig, SANetConfig
from model.inference_network import inference_network
from model.precision import DTYPES, Precision
from model.preprocessing import Preprocessing

CONFIGS = [
    SANetConfig("resnet18"),
    SANetConfig("efficientnet_lite0", aligned="input", transform="rotation"),
    BaselineConfig("resnet18"),
]
CPU = torch.device("cpu")


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{type(config).__name__}-{config.backbone}")
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bf16", 0.05), ("fp16", 0.01)])
def test_it_embeds_as_the_network_does(
    config: SANetConfig | BaselineConfig, precision: Precision, tolerance: float
) -> None:
    torch.manual_seed(0)
    network = build_network(config, Preprocessing(size_px=64)).eval()
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64), np.uint8))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    prepared = inference_network(network, 64, CPU, precision)
    with torch.inference_mode():
        expected, found = network(images), prepared(images)
    assert found.embedding.dtype == found.theta.dtype == torch.float32
    error = (found.embedding - expected.embedding).norm(dim=1) / expected.embedding.norm(dim=1)
    assert error.max() < tolerance
    torch.testing.assert_close(found.theta, expected.theta, atol=max(tolerance, 1e-3), rtol=0)
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_what_tells_the_heading_stays_in_float32(precision: Precision) -> None:
    config = SANetConfig("efficientnet_lite0", aligned="input", transform="rotation")
    prepared = inference_network(build_network(config, Preprocessing(size_px=64)), 64, CPU, precision)
    dtypes: dict[str, set[torch.dtype]] = {}
    for name, module in prepared.named_modules():
        if isinstance(module, nn.Conv2d):
            dtypes.setdefault(name.partition(".")[0], set()).add(module.weight.dtype)
    assert dtypes.pop("input_alignment") == {torch.float32}
    assert set.union(*dtypes.values()) == {DTYPES[precision]}
