"""What a run needs to go on after it was stopped, in one safetensors file: nothing is ever unpickled."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor, nn

from model.tensor_file import save_tensors

_FORMAT: Final = "sanet-run-2"


class RunStateError(ValueError):
    """A state that cannot be read or belongs to another run."""


@dataclass(frozen=True)
class Progress:
    """How far a run is. Random numbers need no keeping: they follow from the seed, the epoch and the step.

    Attributes:
        steps_per_epoch: the same in every epoch.
        epoch, step_in_epoch: of the next step.
        sums: of each loss term over the epoch's steps so far.
        best: the best validation so far: ``epoch``, ``cmc1`` and ``map``; None before the first.
        loss_scale: state of the fp16 gradient scaler.
    """

    steps_per_epoch: int
    epoch: int = 0
    step_in_epoch: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] | None = None
    loss_scale: dict[str, Any] | None = None

    @property
    def steps_done(self) -> int:
        """Of all epochs together."""
        return self.epoch * self.steps_per_epoch + self.step_in_epoch


def save_run_state(
    path: Path, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer | None, progress: Progress
) -> None:
    """Writes weights, buffers, Adam's moments and the progress, whole or not at all.

    Args:
        path: of the file.
        modules: what holds the weights, by name.
        optimizer: None where no step is left, so that nobody needs its moments, twice the size of the weights.
        progress: how far the run is.
    """
    tensors = {
        f"{prefix}.{name}": tensor for prefix, module in modules.items() for name, tensor in module.state_dict().items()
    }
    for index, moments in ({} if optimizer is None else optimizer.state_dict()["state"]).items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in moments.items()}
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_tensors(path, on_cpu, {"format": _FORMAT, "progress": json.dumps(asdict(progress))})


def load_run_state(path: Path, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer) -> Progress:
    """Puts everything back, strictly, and says where to go on.

    Raises:
        RunStateError: missing, damaged, or of another network.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        if metadata.get("format") != _FORMAT:
            raise RunStateError(
                f"{path} is no state of a run of this version: expected the format {_FORMAT!r}, got "
                f"{metadata.get('format')!r}; start another run, from its last.safetensors with --trunk-weights"
            )
        progress = Progress(**json.loads(metadata["progress"]))
        tensors = safetensors.torch.load_file(path)
        for prefix, module in modules.items():
            module.load_state_dict(_below(tensors, f"{prefix}."))
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below(tensors, "optimizer.").items():
            index, moment = name.split(".")
            # Laid out in memory as its parameter (channels last): the fused kernel goes through both side by side.
            same_shape = tensor.shape == parameters[int(index)].shape
            laid_out = torch.empty_like(parameters[int(index)]).copy_(tensor) if same_shape and tensor.ndim else tensor
            state.setdefault(int(index), {})[moment] = laid_out.detach()
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    except FileNotFoundError:
        raise RunStateError(f"there is no state to go on from at {path}") from None
    except RunStateError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise RunStateError(f"the state {path} cannot be used: {reason}") from error
    return progress


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
