import pytest
import torch

from model.baseline import Baseline
from model.build import Network, build_network
from model.compared.am_wtl import AMWTL
from model.compared.cn_nets import CNNets
from model.compared.ram import RAM
from model.compared.scan import SCAN
from model.compared.vscr import VSCR
from model.config import (
    AMWTLConfig,
    BaselineConfig,
    CNNetsConfig,
    ConfigError,
    NetworkConfig,
    RAMConfig,
    SANetConfig,
    SCANConfig,
    VSCRConfig,
)
from model.preprocessing import Preprocessing
from model.sanet import SANet


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (SANetConfig("resnet18", num_parts=1), SANet),
        (BaselineConfig("resnet18"), Baseline),
        (RAMConfig("resnet18"), RAM),
        (SCANConfig("resnet18"), SCAN),
        (VSCRConfig("resnet18"), VSCR),
        (AMWTLConfig("resnet18"), AMWTL),
        (CNNetsConfig("resnet18"), CNNets),
    ],
)
def test_the_config_says_which_network_and_the_preprocessing_its_normalisation(
    config: NetworkConfig, kind: type[Network]
) -> None:
    network = build_network(config, Preprocessing(64, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)))
    assert type(network) is kind
    assert network.config == config
    torch.testing.assert_close(network.normalization.mean.flatten(), torch.tensor([0.1, 0.2, 0.3]))
    torch.testing.assert_close(network.normalization.std.flatten(), torch.tensor([0.4, 0.5, 0.6]))


def test_without_a_preprocessing_the_normalisation_is_imagenets() -> None:
    normalization = build_network(BaselineConfig("resnet18")).normalization
    torch.testing.assert_close(normalization.mean.flatten(), torch.tensor([0.485, 0.456, 0.406]))
    torch.testing.assert_close(normalization.std.flatten(), torch.tensor([0.229, 0.224, 0.225]))


@pytest.mark.parametrize(("num_columns", "size_px"), [(9, 128), (3, 32), (17, 256)])
def test_more_columns_than_the_image_has_are_refused(num_columns: int, size_px: int) -> None:
    config = SANetConfig("resnet18", transform="rotation", aligned="input", num_columns=num_columns)
    with pytest.raises(ConfigError, match=f"num_columns must be at most {size_px // 16} .* got {num_columns}"):
        build_network(config, Preprocessing(size_px))


def test_all_columns_may_be_kept() -> None:
    config = SANetConfig("resnet18", transform="rotation", aligned="input", num_columns=4)
    assert build_network(config, Preprocessing(64)).config == config
