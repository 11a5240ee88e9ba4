"""The checkpoint: one ``.safetensors`` file that rebuilds its network by itself.

The header's metadata holds JSON texts: ``config`` and ``preprocessing`` (with the tensors they are the model, and make
its fingerprint), ``training`` (where the weights come from), and the annotations ``evaluation`` and ``calibration``,
which may be written later. Nothing is ever unpickled. Weights may be stored as float16, which halves the file; the
network computes in float32 all the same.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor
from torch.overrides import TorchFunctionMode

from model.build import Network, build_network
from model.config import ConfigError, NetworkConfig, config_from_dict, config_to_dict
from model.preprocessing import Preprocessing
from model.tensor_file import save_tensors

FORMAT: Final = "sanet-checkpoint-1"

# What rounding to float16 costs a number that float16 holds in full: half a unit in the last of its 11 bits.
_FLOAT16_PRECISION: Final = 2.0**-11


class CheckpointError(ValueError):
    """A file that is no usable checkpoint; the message says why and what to do."""


@dataclass(frozen=True)
class ModelCard:
    """All that a checkpoint says about its model besides the tensors.

    Attributes:
        fingerprint: SHA-256 (hex) of canonical config, preprocessing and the tensors in name order.
        training: where the weights come from, with at least ``"trained": bool`` and ``"data"``, the name of the
            training data or None.
        evaluation: results on held-out data, or None before the first.
        calibration: distance thresholds for "no match", or None before it was calibrated.
    """

    config: NetworkConfig
    preprocessing: Preprocessing
    fingerprint: str
    training: dict[str, Any]
    evaluation: dict[str, Any] | None
    calibration: dict[str, Any] | None

    @property
    def trained(self) -> bool:
        """Whether the weights were ever trained; an untrained network's matches mean nothing."""
        return bool(self.training["trained"])


@dataclass(frozen=True)
class Checkpoint:
    """A network in evaluation mode, on the CPU, and its card."""

    network: Network
    card: ModelCard


def save_checkpoint(path: Path, network: Network, preprocessing: Preprocessing, training: dict[str, Any]) -> str:
    """Writes a checkpoint, whole or not at all, and returns its fingerprint."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    config_json = canonical_json(config_to_dict(network.config))
    preprocessing_json = canonical_json(preprocessing.to_dict())
    fingerprint = compute_fingerprint(config_json, preprocessing_json, tensors)
    metadata = {
        "format": FORMAT,
        "config": config_json,
        "preprocessing": preprocessing_json,
        "fingerprint": fingerprint,
        "training": canonical_json(training),
    }
    _write(path, tensors, metadata)
    return fingerprint


def load_checkpoint(path: Path) -> Checkpoint:
    """Rebuilds the network, strictly, and checks the fingerprint against the tensors.

    Tensors stored as float16 become float32; all others keep their type.

    Raises:
        CheckpointError: missing, of another format, or damaged.
    """
    tensors, metadata = _read(path)
    card = _card(path, metadata)
    if compute_fingerprint(metadata["config"], metadata["preprocessing"], tensors) != card.fingerprint:
        raise CheckpointError(
            f"the checkpoint {path} is damaged: its tensors do not have its fingerprint; fetch it again"
        )
    try:
        with torch.random.fork_rng(devices=[]), _Undrawn():
            network = build_network(card.config, card.preprocessing)
    except ConfigError as error:
        raise CheckpointError(f"the config and the preprocessing of {path} do not fit: {error}") from error
    tensors = {name: t.float() if t.dtype == torch.float16 else t for name, t in tensors.items()}
    try:
        network.load_state_dict(tensors, strict=True, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"the tensors of {path} do not fit its config: {reason}") from None
    return Checkpoint(network.eval(), card)


class _Undrawn(TorchFunctionMode):
    """Draws no weights that will be overwritten.

    The meta device draws none either, but its arithmetic is that of torch's compiler, which takes a second to import.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        return func(*args, **(kwargs or {}))


def read_card(path: Path) -> ModelCard:
    """The card alone, from the header: milliseconds, however large the model."""
    return _card(path, _read_metadata(path))


def annotate_checkpoint(path: Path, **annotations: dict[str, Any]) -> None:
    """Writes ``evaluation=`` and/or ``calibration=`` into the file; the fingerprint stays.

    Raises:
        CheckpointError: the file is missing, damaged or no checkpoint.
    """
    unknown = annotations.keys() - {"evaluation", "calibration"}
    if unknown:
        raise TypeError(f"a checkpoint takes evaluation and calibration, not {', '.join(sorted(unknown))}")
    tensors, metadata = _read(path)
    _card(path, metadata)
    _write(path, tensors, metadata | {name: canonical_json(value) for name, value in annotations.items()})


def halve_checkpoint(source: Path, target: Path) -> str:
    """Writes a copy in about half the bytes, whole or not at all, and returns its fingerprint: it is another model.

    Weights of convolutions and linear layers are rounded to float16. Vectors (BatchNorm's statistics, biases) stay as
    they are, for each of their numbers scales a whole channel and together they weigh next to nothing; and so does a
    tensor that float16 cannot hold. ``training`` is kept and names the source's fingerprint under ``halved_from``;
    evaluation and calibration are the source's and left out.

    Raises:
        CheckpointError: the source is missing, damaged or no checkpoint.
    """
    card = load_checkpoint(source).card
    tensors, metadata = _read(source)
    tensors = {name: _rounded(tensor) for name, tensor in tensors.items()}
    fingerprint = compute_fingerprint(metadata["config"], metadata["preprocessing"], tensors)
    training = canonical_json({**card.training, "halved_from": card.fingerprint})
    kept = {name: metadata[name] for name in ("format", "config", "preprocessing")}
    _write(target, tensors, kept | {"fingerprint": fingerprint, "training": training})
    return fingerprint


def compute_fingerprint(config_json: str, preprocessing_json: str, tensors: dict[str, Tensor]) -> str:
    """SHA-256 over length-prefixed fields, so that no two models can run into the same bytes."""
    digest = hashlib.sha256()

    def update(data: "bytes | memoryview[int]") -> None:
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)

    update(config_json.encode())
    update(preprocessing_json.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        update(name.encode())
        update(f"{tensor.dtype} {list(tensor.shape)}".encode())
        update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def canonical_json(value: object) -> str:
    """One text per value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def _rounded(tensor: Tensor) -> Tensor:
    """The tensor in float16, or as it is where that would lose more than float16's precision."""
    if tensor.dtype != torch.float32 or tensor.dim() < 2:
        return tensor
    half = tensor.half()
    # Of the whole tensor, in float64: single weights near zero may vanish, a tensor of them may not. An overflow is
    # infinitely far off.
    lost = torch.linalg.vector_norm(half.double() - tensor.double())
    return half if lost <= _FLOAT16_PRECISION * torch.linalg.vector_norm(tensor.double()) else tensor


def _card(path: Path, metadata: dict[str, str]) -> ModelCard:
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not a checkpoint of this program: expected the format {FORMAT!r}, "
            f"found {metadata.get('format')!r}"
        )
    try:
        values = {name: json.loads(text) for name, text in metadata.items() if name not in ("format", "fingerprint")}
        if no_objects := sorted(name for name, value in values.items() if not isinstance(value, dict)):
            raise TypeError(f"{', '.join(no_objects)} must be a JSON object")
        return ModelCard(
            config=config_from_dict(values["config"]),
            preprocessing=Preprocessing.from_dict(values["preprocessing"]),
            fingerprint=metadata["fingerprint"],
            training={"trained": values["training"]["trained"], **values["training"]},
            evaluation=values.get("evaluation"),
            calibration=values.get("calibration"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the header of {path} cannot be used: {error}") from error


def _read_metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint at {path}") from None
    except Exception as error:
        raise CheckpointError(f"{path} is not a readable .safetensors file: {error}") from error


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    metadata = _read_metadata(path)
    return safetensors.torch.load_file(path), metadata


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    save_tensors(path, tensors, metadata)
