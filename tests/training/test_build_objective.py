import pytest

from model.config import (
    AMWTLConfig,
    BaselineConfig,
    CNNetsConfig,
    NetworkConfig,
    RAMConfig,
    SANetConfig,
    SCANConfig,
    VSCRConfig,
)
from training.build_objective import AnyObjective, build_objective
from training.compared.am_wtl import AMWTLObjective
from training.compared.cn_nets import CNNetsObjective
from training.compared.ram import RAMObjective
from training.compared.scan import SCANObjective
from training.compared.vscr import VSCRObjective
from training.objective import Objective
from training.recipe import Recipe


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (SANetConfig("resnet18"), Objective),
        (BaselineConfig("resnet18"), Objective),
        (RAMConfig("resnet18"), RAMObjective),
        (SCANConfig("resnet18"), SCANObjective),
        (VSCRConfig("resnet18"), VSCRObjective),
        (AMWTLConfig("resnet18"), AMWTLObjective),
        (CNNetsConfig("resnet18"), CNNetsObjective),
    ],
)
def test_each_network_has_its_objective(config: NetworkConfig, kind: type[AnyObjective]) -> None:
    assert type(build_objective(config, 5, Recipe(), {})) is kind
