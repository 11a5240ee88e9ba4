"""What runs a network: torch everywhere, OpenVINO on a CPU where it is installed, which is faster there."""

import importlib.util
import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Literal, Protocol, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from model.checkpoint import Checkpoint
from model.embeddings import EmbeddingError, Embeddings, largest_difference
from model.precision import Precision
from model.torch_runtime import TorchRuntime, run_network

_LOG = logging.getLogger(__name__)

RuntimeChoice = Literal["auto", "torch", "openvino"]

_MOST_DIFFERENCE: Final = 1e-3
"""Of embeddings in their lengths, and of thetas: rounding stays well below, a network of other weights far above."""


_NUM_CHECKED: Final = 3


class Runtime(Protocol):
    """Runs one network."""

    @property
    def name(self) -> str:
        """Which runtime, and which version of it."""

    def __call__(self, images: NDArray[np.uint8]) -> Embeddings:
        """Images (N, S, S, 3) uint8 as they lie in memory."""

    def pausing(self, pause: Callable[[], None]) -> AbstractContextManager[None]:
        """In the block, calls `pause` now and then while images are embedded."""


def runtime_of_environment() -> RuntimeChoice:
    """``SANET_RUNTIME``, as commands take it: auto where it is not set.

    Raises:
        EmbeddingError: there is no such runtime.
    """
    choice = os.environ.get("SANET_RUNTIME") or "auto"
    for known in get_args(RuntimeChoice):
        if choice == known:
            return known  # type: ignore[no-any-return]
    raise EmbeddingError(f"SANET_RUNTIME must be one of {', '.join(get_args(RuntimeChoice))}, got {choice!r}")


def cache_of_environment() -> Path:
    """Where converted networks are kept: ``SANET_CACHE_DIR``, or a folder of the user's cache.

    Without a home that is a folder for temporary files.
    """
    if named := os.environ.get("SANET_CACHE_DIR"):
        return Path(named)
    try:
        of_user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        of_user = Path(tempfile.gettempdir())
    return of_user / "sanet-retrieval"


def build_runtime(
    checkpoint: Checkpoint, device: torch.device, precision: Precision, choice: RuntimeChoice, cache: Path | None
) -> Runtime:
    """The runtime that is chosen, with ``auto`` the fastest; OpenVINO's embeddings are compared with torch's first.

    OpenVINO computes in float32 alone: what it makes of bf16 differs from torch's as much as both do from float32, and
    embeddings of one numeric path must be comparable.

    Args:
        checkpoint: its network stays as it is.
        device: of torch.
        precision: the numeric path.
        choice: one that cannot be had is an error, but for ``auto``.
        cache: the folder of converted networks; None is what the environment says.

    Raises:
        EmbeddingError: OpenVINO was chosen, and is not installed, or does not run this network on this device so.
    """
    size_px = checkpoint.card.preprocessing.size_px
    if choice == "torch":
        return TorchRuntime(checkpoint.network, size_px, device, precision)
    if device.type != "cpu" or precision != "float32":
        reason = f"it runs in float32 on a CPU alone, not in {precision} on {device}"
    elif importlib.util.find_spec("openvino") is None:
        reason = "it is not installed: pip install 'sanet-retrieval[cpu]'"
    else:
        with_openvino, reason = _checked_openvino(checkpoint, cache or cache_of_environment())
        if with_openvino is not None:
            return with_openvino
        _LOG.warning("torch runs the network, which is slower here than OpenVINO: %s", reason)
    if choice == "openvino":
        raise EmbeddingError(f"the runtime openvino was asked for (SANET_RUNTIME): {reason}")
    return TorchRuntime(checkpoint.network, size_px, device, precision)


def _checked_openvino(checkpoint: Checkpoint, cache: Path) -> tuple[Runtime | None, str]:
    """It, or None and why not."""
    size = checkpoint.card.preprocessing.size_px
    images = np.random.default_rng(0).integers(0, 256, (_NUM_CHECKED, size, size, 3), np.uint8)
    # The network as it was trained, which shows a wrong folding too.
    expected, reason = run_network(checkpoint.network.eval(), images, torch.device("cpu")), ""
    # What was kept may be damaged, or of another network that says it is this one: then it is converted anew.
    for use_kept in (True, False):
        try:
            from model.openvino_runtime import OpenVinoRuntime

            runtime = OpenVinoRuntime(checkpoint, cache, use_kept=use_kept)
            difference = largest_difference(expected, runtime(images))
        except Exception as error:  # whatever it raises, torch runs the network as well
            reason = f"it fails: {str(error).strip().partition(chr(10))[0]}"
            continue
        if difference <= _MOST_DIFFERENCE:
            return runtime, ""
        reason = f"its embeddings differ by {difference:.1e} of their length"
    return None, reason
