from typing import get_args

import pytest
import torch

from model.build import build_network
from model.config import (
    ARCHITECTURES,
    AMWTLConfig,
    Backbone,
    CNNetsConfig,
    NetworkConfig,
    RAMConfig,
    SCANConfig,
    VSCRConfig,
    architecture_of,
    config_from_dict,
    config_to_dict,
)

DIMS: dict[type[NetworkConfig], int] = {
    RAMConfig: 512 + 512 + 3 * 128 + 64, SCANConfig: 512, VSCRConfig: 512, AMWTLConfig: 512, CNNetsConfig: 1024,
}  # fmt: skip
NAMES = {RAMConfig: "ram", SCANConfig: "scan", VSCRConfig: "vscr", AMWTLConfig: "am_wtl", CNNetsConfig: "cn_nets"}


@pytest.mark.parametrize("kind", DIMS)
@pytest.mark.parametrize("backbone", get_args(Backbone))
def test_the_embedding_is_as_wide_whatever_the_backbone(kind: type[NetworkConfig], backbone: Backbone) -> None:
    config = kind(backbone)
    with torch.device("meta"):
        output = build_network(config).eval()(torch.empty(2, 3, 64, 64))
    assert output.embedding.shape == (2, config.embedding_dim) == (2, DIMS[kind])


@pytest.mark.parametrize("kind", DIMS)
def test_a_config_is_known_by_its_architectures_name(kind: type[NetworkConfig]) -> None:
    config = kind("resnet34", unit_length=True)
    fields = {"architecture": NAMES[kind], "backbone": "resnet34", "stride": "3x3", "bn_eps": 1e-5, "unit_length": True}
    assert config_to_dict(config) == fields
    assert config_from_dict(fields) == config
    assert type(config_from_dict(fields)) is kind  # configs of equal fields are not equal networks
    assert architecture_of(config) == NAMES[kind]
    assert ARCHITECTURES[NAMES[kind]] is kind
