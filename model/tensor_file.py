"""Tensors by name in a ``.safetensors`` file that is there whole or not at all."""

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from model.whole_file import whole_file


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes contiguous tensors on the CPU, and text beside them.

    Raises:
        OSError: it cannot be written, such as where the disk is full; safetensors' own error is none.
    """
    with whole_file(path) as temporary:
        try:
            safetensors.torch.save_file(dict(tensors), temporary, dict(metadata))
        except SafetensorError as error:
            raise OSError(f"cannot write {path}: {error}") from error
