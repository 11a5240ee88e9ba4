"""Pre-trained ResNet weights for the trunk and, where the source has it whole, for every branch's layer4."""

from pathlib import Path

import safetensors.torch
import torch
import torchvision
from torch import Tensor, nn

from model.build import Network
from model.config import Backbone
from model.resnet import TRUNK_LAYERS

_COUNTER = "num_batches_tracked"


class PretrainedError(ValueError):
    """Weights that do not fit the network; the message names what is missing or of another shape."""


def load_pretrained(network: Network, source: str) -> frozenset[str]:
    """Copies ResNet weights into the trunk and into each layer4.

    ResNet-v1 strides and another BatchNorm epsilon cannot be seen in the tensors: they stand in the config.

    Args:
        network: changed in place.
        source: a file (``.safetensors``, or ``.pth`` read with ``weights_only``) with torchvision's names, or the name
            of torchvision weights such as ``IMAGENET1K_V2``, which torchvision downloads.

    Returns:
        The names of the network's parameters and buffers that were loaded: what a trainer may freeze.

    Raises:
        PretrainedError: the source cannot be read, or lacks a tensor of the trunk, or has one of another shape.
    """
    state = _read_state(source, network.config.backbone)
    loaded = _copy(network.trunk, {k: v for k, v in state.items() if k.split(".")[0] in TRUNK_LAYERS}, source)
    names = {f"trunk.{name}" for name in loaded}
    layer4 = {k.removeprefix("layer4."): v for k, v in state.items() if k.startswith("layer4.")}
    for prefix, module in network.named_modules():
        if prefix.rpartition(".")[2] != "layer4":
            continue
        expected = {k for k in module.state_dict() if not k.endswith(_COUNTER)}
        if expected <= layer4.keys():
            names |= {f"{prefix}.{name}" for name in _copy(module, layer4, source)}
    return frozenset(names)


def _read_state(source: str, backbone: Backbone) -> dict[str, Tensor]:
    path = Path(source)
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        if path.suffix in (".pth", ".pt"):
            state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
            return state
    except Exception as error:
        raise PretrainedError(f"cannot read the weights {source}: {error}") from error
    known = torchvision.models.get_model_weights(backbone)
    if source not in known.__members__:
        raise PretrainedError(
            f"{source!r} is neither a .pth/.safetensors file nor weights that torchvision has for {backbone}: "
            f"{', '.join(known.__members__)}"
        )
    downloaded: dict[str, Tensor] = known[source].get_state_dict(progress=True, check_hash=True)
    return downloaded


def _copy(module: nn.Module, state: dict[str, Tensor], source: str) -> set[str]:
    own = module.state_dict()
    missing = sorted(k for k in own.keys() - state.keys() if not k.endswith(_COUNTER))
    surplus = sorted(state.keys() - own.keys())
    reshaped = sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape)
    for kind, names in (("lacks", missing), ("has unknown", surplus), ("has another shape for", reshaped)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise PretrainedError(f"{source} {kind} {', '.join(names[:3])}{more}: is it of the same backbone?")
    module.load_state_dict(state, strict=False)
    return set(state)
