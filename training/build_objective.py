"""The one place where a network's configuration becomes what it is trained for."""

from collections.abc import Mapping

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
from training.compared.am_wtl import AMWTLObjective
from training.compared.cn_nets import CNNetsObjective
from training.compared.ram import RAMObjective
from training.compared.scan import SCANObjective
from training.compared.vscr import VSCRObjective
from training.objective import Objective
from training.recipe import Recipe

AnyObjective = Objective | RAMObjective | SCANObjective | VSCRObjective | AMWTLObjective | CNNetsObjective


def build_objective(
    config: NetworkConfig, num_labels: int, recipe: Recipe, num_classes: Mapping[str, int]
) -> AnyObjective:
    """An objective with fresh classifiers, drawn from torch's global generator.

    Args:
        config: of the network.
        num_labels: identities to learn.
        recipe: weights and margins.
        num_classes: of each annotation that the data has, in the order of its columns.
    """
    match config:
        case SANetConfig() | BaselineConfig():
            return Objective(config, num_labels, recipe)
        case RAMConfig():
            return RAMObjective(config, num_labels, recipe, num_classes)
        case SCANConfig():
            return SCANObjective(config, num_labels, recipe)
        case VSCRConfig():
            return VSCRObjective(config, num_labels, recipe, num_classes)
        case AMWTLConfig():
            return AMWTLObjective(config, num_labels, recipe, num_classes)
        case CNNetsConfig():
            return CNNetsObjective(config, num_labels, recipe)
