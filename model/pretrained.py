"""Pre-trained weights: of a backbone, for the trunk and for every branch's layer4; or all of a checkpoint of ours."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import safetensors.torch
import torch
import torchvision
from safetensors import safe_open
from torch import Tensor, nn

from model import lite0_weights
from model.alignment import InputAlignment
from model.build import Network
from model.checkpoint import FORMAT, Checkpoint, load_checkpoint
from model.config import BackboneConfig, SANetConfig
from model.sanet import SANet

LITE0_WEIGHTS: Final = "efficientnet_lite0"
"""The name of EfficientNet-Lite0's ImageNet weights, which the package `model.lite0_weights.PACKAGE` brings along."""

_COUNTER: Final = "num_batches_tracked"
# What the networks here are made of, by the last part of a module's name: what all of them have, and what means the
# same only in two networks of one architecture.
_SHARED_PIECES: Final = ("trunk", "layer4")
_PIECES: Final = (
    *_SHARED_PIECES, "reduction", "reductions", "alignment", "input_alignment",
    "conv_branch", "normalize_map", "bn_branch", "region_branch", "attribute_branch",  # RAM
    "trunk_attention", "layer4_attention",  # SCAN
    "attention",  # AM+WTL
    "coarse_reduction", "fine_reduction",  # CN-Nets
)  # fmt: skip


class PretrainedError(ValueError):
    """Weights that do not fit the network; the message names what is missing or of another shape."""


def load_pretrained(network: Network, source: str) -> frozenset[str]:
    """Copies weights into a network: a backbone's into the trunk and into each layer4, or a whole checkpoint of ours.

    Of a checkpoint of ours the network takes every tensor that it has too, but for the spatial reductions of another
    number of parts and the alignment of another transform, whose numbers mean something else. What the network alone
    has keeps its fresh weights; only a layer4 that it alone has starts as the checkpoint's global one.

    Of a backbone's file the trunk is taken, and layer4 if all of it is there: files that were cut off behind the trunk
    exist, and there each layer4 keeps its fresh weights.

    ResNet-v1 strides and another BatchNorm epsilon cannot be seen in the tensors of other files: they stand in the
    network's config.

    Args:
        network: changed in place.
        source: a checkpoint of ours; a file (``.safetensors``, or ``.pth`` read with ``weights_only``) with the names
            under which the backbone's weights are published: torchvision's, or `model.lite0_weights`'; the name of
            torchvision weights such as ``IMAGENET1K_V2``, which torchvision downloads; or `LITE0_WEIGHTS`.

    Returns:
        The names of the network's parameters and buffers that were loaded: what a trainer may freeze.

    Raises:
        PretrainedError: the source cannot be read, lacks a tensor of the trunk, or has one that is unknown or of
            another shape; or it belongs to a network that computes something else with the same tensors.
    """
    weights = _read(source, network.config)
    if isinstance(weights, Checkpoint):
        return _copy_checkpoint(network, weights, source)
    layer4 = {name.removeprefix("layer4."): tensor for name, tensor in weights.items() if name.startswith("layer4.")}
    trunk_layers = {name for name, _ in network.trunk.named_children()}
    trunk = {name: tensor for name, tensor in weights.items() if name.split(".")[0] in trunk_layers}
    loaded = _copy(network.trunk, "trunk", trunk, source, "")
    for prefix, module in network.named_modules():
        if prefix.rpartition(".")[2] == "layer4" and _needed(module) <= layer4.keys():
            loaded |= _copy(module, prefix, layer4, source, "layer4.")
    return frozenset(loaded)


def load_heading(network: Network, source: str) -> frozenset[str]:
    """Copies the heading alone out of a checkpoint of ours, of whatever backbone, and returns the names of its tensors.

    Where the two networks normalise their input differently, it is adapted (`PolarHeading.adapt`).

    Raises:
        PretrainedError: the source cannot be read, or one of the two networks does not align its input.
    """
    weights = _read(source, network.config)
    if not isinstance(weights, Checkpoint):
        raise PretrainedError(f"{source} is no checkpoint of this program: only those have a heading")
    learned, alignment = _input_alignment(weights.network, source), _input_alignment(network, "the network")
    loaded = _copy(alignment, "input_alignment", learned.state_dict(), source, "input_alignment.")
    alignment.heading.adapt(weights.network.normalization, network.normalization)
    return frozenset(loaded)


def _input_alignment(network: Network, name: str) -> InputAlignment:
    if not isinstance(network, SANet) or network.input_alignment is None:
        raise PretrainedError(f"{name} aligns no input: there is no heading to take over")
    return network.input_alignment


def _copy_checkpoint(network: Network, checkpoint: Checkpoint, source: str) -> frozenset[str]:
    _check_same_computation(network, checkpoint, source)
    theirs, config, their_config = checkpoint.network, network.config, checkpoint.card.config
    their_modules = dict(theirs.named_modules())
    global_layer4 = theirs.global_branch.layer4 if isinstance(theirs, SANet) else theirs.layer4
    pieces = _PIECES if type(config) is type(their_config) else _SHARED_PIECES
    other_meaning = set[str]()
    if isinstance(config, SANetConfig) and isinstance(their_config, SANetConfig):
        if config.num_parts != their_config.num_parts:
            other_meaning.add("reductions")
        if config.transform != their_config.transform:
            other_meaning.add("alignment")
    loaded = set[str]()
    for prefix, module in network.named_modules():
        piece = prefix.rpartition(".")[2]
        if piece not in pieces or piece in other_meaning:
            continue
        if prefix in their_modules:
            loaded |= _copy(module, prefix, their_modules[prefix].state_dict(), source, f"{prefix}.")
        elif piece == "layer4":
            loaded |= _copy(module, prefix, global_layer4.state_dict(), source, "layer4.")
    return frozenset(loaded)


def _check_same_computation(network: Network, checkpoint: Checkpoint, source: str) -> None:
    """Refuses what the tensors do not show. Another backbone they show: its tensors have other names and shapes."""
    config, their_config = network.config, checkpoint.card.config
    if config.backbone != their_config.backbone:
        return
    normalization, preprocessing = network.normalization, checkpoint.card.preprocessing
    for name, here, there in (
        ("stride", config.stride, their_config.stride),
        ("bn_eps", config.bn_eps, their_config.bn_eps),
        ("mean", _rounded(normalization.mean.flatten().tolist()), _rounded(preprocessing.mean)),
        ("std", _rounded(normalization.std.flatten().tolist()), _rounded(preprocessing.std)),
    ):
        if here != there:
            raise PretrainedError(
                f"{source} was trained with the {name} {there}, the network has {here}: with the same tensors it would "
                f"compute something else; give it the {name} of the checkpoint"
            )


def _rounded(values: Sequence[float]) -> list[float]:
    """To what the network's float32 holds of them."""
    return [round(value, 6) for value in values]


def _read(source: str, config: BackboneConfig) -> Checkpoint | dict[str, Tensor]:
    """A checkpoint of ours; or tensors by the names of the network's trunk, and after ``layer4.`` of its layer4."""
    path = Path(source)
    try:
        if path.suffix == ".safetensors":
            if _is_checkpoint(path):
                return load_checkpoint(path)
            state: object = safetensors.torch.load_file(path)
        elif path.suffix in (".pth", ".pt"):
            state = torch.load(path, map_location="cpu", weights_only=True)
        else:
            state = _read_by_name(source, config)
        if not isinstance(state, dict) or not all(
            isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()
        ):
            raise PretrainedError(f"{source} does not hold tensors by name (a state dict)")
        return lite0_weights.rename(state, config) if config.backbone == "efficientnet_lite0" else state
    except PretrainedError:
        raise
    except Exception as error:  # a broken file, no network, another hash: whatever the reader raises
        raise PretrainedError(f"cannot read the weights {source}: {' '.join(str(error).split())[:300]}") from error


def _is_checkpoint(path: Path) -> bool:
    with safe_open(path, framework="pt") as file:
        return (file.metadata() or {}).get("format") == FORMAT


def _read_by_name(name: str, config: BackboneConfig) -> object:
    if config.backbone == "efficientnet_lite0":
        known = [LITE0_WEIGHTS]
        if name == LITE0_WEIGHTS:
            return lite0_weights.read_package()
    else:
        torchvision_weights = torchvision.models.get_model_weights(config.backbone)
        known = list(torchvision_weights.__members__)
        if name in known:
            # Downloads are unpickled without restriction unless told otherwise.
            return torchvision_weights[name].get_state_dict(progress=True, check_hash=True, weights_only=True)
    raise PretrainedError(
        f"{name!r} is neither a .pth/.safetensors file nor the name of known weights for {config.backbone}: "
        f"{', '.join(known)}"
    )


def _copy(module: nn.Module, prefix: str, state: dict[str, Tensor], source: str, source_prefix: str) -> set[str]:
    """Loads all of a module, strictly, and returns the names of what was loaded, below the prefix.

    `source_prefix` is what the source calls the module, for messages.
    """
    expected = module.state_dict()
    missing = sorted(_needed(module) - state.keys())
    unknown = sorted(state.keys() - expected.keys())
    reshaped = sorted(k for k in expected.keys() & state.keys() if expected[k].shape != state[k].shape)
    for kind, names in (("lacks", missing), ("has unknown", unknown), ("has another shape for", reshaped)):
        if names:
            raise PretrainedError(_misfit(source, kind, [source_prefix + name for name in names]))
    module.load_state_dict(state, strict=False)
    return {f"{prefix}.{name}" for name in state}


def _needed(module: nn.Module) -> set[str]:
    """The names of a module's tensors but for BatchNorm's counters, which older files lack."""
    return {name for name in module.state_dict() if not name.endswith(_COUNTER)}


def _misfit(source: str, kind: str, names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{source} {kind} {', '.join(names[:3])}{more}: is it of the same backbone?"
