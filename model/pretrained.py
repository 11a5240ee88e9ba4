"""Pre-trained weights: of a ResNet, or of a checkpoint of ours, for the trunk and for every branch's layer4."""

from pathlib import Path

import safetensors.torch
import torch
import torchvision
from safetensors import safe_open
from torch import Tensor, nn

from model.build import Network
from model.checkpoint import FORMAT, load_checkpoint
from model.config import Backbone
from model.resnet import TRUNK_LAYERS
from model.sanet import SANet

_COUNTER = "num_batches_tracked"
_HEADING = "input_alignment."


class PretrainedError(ValueError):
    """Weights that do not fit the network; the message names what is missing or of another shape."""


def load_pretrained(network: Network, source: str) -> frozenset[str]:
    """Copies ResNet weights into the trunk and into each layer4.

    ResNet-v1 strides and another BatchNorm epsilon cannot be seen in the tensors: they stand in the config.

    Args:
        network: changed in place.
        source: a file (``.safetensors``, or ``.pth`` read with ``weights_only``) with torchvision's names; the name
            of torchvision weights such as ``IMAGENET1K_V2``, which torchvision downloads; or a checkpoint of ours, of
            which trunk and (global) layer4 are taken and, by a network with an aligned input, the heading.

    Returns:
        The names of the network's parameters and buffers that were loaded: what a trainer may freeze.

    Raises:
        PretrainedError: the source cannot be read, or lacks a tensor of the trunk, or has one of another shape.
    """
    state = _read_state(source, network.config.backbone)
    names = set[str]()
    heading = {k.removeprefix(_HEADING): v for k, v in state.items() if k.startswith(_HEADING)}
    if heading and isinstance(network, SANet) and network.input_alignment is not None:
        names = {_HEADING + name for name in _copy(network.input_alignment, heading, source)}
    loaded = _copy(network.trunk, {k: v for k, v in state.items() if k.split(".")[0] in TRUNK_LAYERS}, source)
    names |= {f"trunk.{name}" for name in loaded}
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
    known = torchvision.models.get_model_weights(backbone)
    try:
        if path.suffix == ".safetensors":
            state: object = _read_safetensors(path)
        elif path.suffix in (".pth", ".pt"):
            state = torch.load(path, map_location="cpu", weights_only=True)
        elif source in known.__members__:
            # Downloads are unpickled without restriction unless told otherwise.
            state = known[source].get_state_dict(progress=True, check_hash=True, weights_only=True)
        else:
            raise PretrainedError(
                f"{source!r} is neither a .pth/.safetensors file nor weights that torchvision has for {backbone}: "
                f"{', '.join(known.__members__)}"
            )
    except PretrainedError:
        raise
    except Exception as error:  # a broken file, no network, another hash: whatever the reader raises
        raise PretrainedError(f"cannot read the weights {source}: {' '.join(str(error).split())[:300]}") from error
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise PretrainedError(f"{source} does not hold tensors by name (a state dict)")
    return state


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    if metadata.get("format") != FORMAT:
        return safetensors.torch.load_file(path)
    ours = load_checkpoint(path).network.state_dict()
    prefixes = ("trunk.", "global_branch.layer4.", "layer4.", _HEADING)
    taken = {name: tensor for name, tensor in ours.items() if name.startswith(prefixes)}
    return {name.removeprefix("trunk.").removeprefix("global_branch."): tensor for name, tensor in taken.items()}


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
