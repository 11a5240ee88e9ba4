"""From crops to embeddings: the model on its device, in its numeric path."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from model.build import Network
from model.checkpoint import Checkpoint
from model.embeddings import EmbeddingError, Embeddings
from model.precision import Precision
from model.runtime import Runtime, RuntimeChoice, build_runtime, runtime_of_environment
from model.torch_runtime import run_network

DEFAULT_BATCH: Final = 16


class Embedder:
    """Runs one checkpoint. Not thread-safe: one thread owns it and its device.

    An embedding is repeated to the last bit by the same runtime with the same batch, on the same kind of device with
    the same number of threads. In another batch, on another CPU or by another runtime its last digits are others.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "cpu",
        precision: Precision = "float32",
        runtime: RuntimeChoice | None = None,
        cache: Path | None = None,
    ) -> None:
        """Prepares the network, which takes seconds where a runtime converts it for the first time.

        Args:
            checkpoint: its network stays as it is.
            device: of torch.
            precision: the numeric path.
            runtime: what runs it; None is what the environment says.
            cache: the folder of converted networks; None is what the environment says.

        Raises:
            EmbeddingError: the runtime cannot be had.
        """
        self.card = checkpoint.card
        self.device = torch.device(device)
        self.precision: Precision = precision
        compute_in_float32()  # in every path: the heading is always in float32
        self._runtime: Runtime = build_runtime(
            checkpoint, self.device, precision, runtime or runtime_of_environment(), cache
        )

    @property
    def embedding_dim(self) -> int:
        """D."""
        return self.card.config.embedding_dim

    @property
    def runtime(self) -> str:
        """What runs the network, and which version of it."""
        return self._runtime.name

    def embed(self, crops: Sequence[NDArray[np.uint8]], batch_size: int = DEFAULT_BATCH) -> Embeddings:
        """Upright RGB crops (H, W, 3) uint8 of any sizes -> their embeddings, in order.

        Raises:
            EmbeddingError: a number in an embedding is not finite.
            ValueError: a batch size below 1.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
        batches = [
            self.embed_prepared(np.stack([self.card.preprocessing(crop) for crop in crops[i : i + batch_size]]))
            for i in range(0, len(crops), batch_size)
        ]
        if not batches:
            return Embeddings(np.empty((0, self.embedding_dim), np.float32), np.empty((0, 2, 3), np.float32))
        return Embeddings(*(np.concatenate(arrays) for arrays in zip(*batches, strict=True)))

    def embed_prepared(self, images: NDArray[np.uint8]) -> Embeddings:
        """One batch of preprocessed images (N, S, S, 3) uint8.

        Raises:
            EmbeddingError: a number in an embedding is not finite.
        """
        return _finite(self._runtime(images))

    @contextmanager
    def pausing(self, pause: Callable[[], None]) -> Iterator[None]:
        """In the block, calls `pause` again and again while images are embedded, in the thread that embeds.

        Where a batch is short work for the device it is called once for each. `pause` may embed other images, which are
        not paused themselves. The embeddings are the same to the last bit.
        """
        is_paused = False

        def pause_once() -> None:
            nonlocal is_paused
            if is_paused:
                return
            is_paused = True
            try:
                pause()
            finally:
                is_paused = False

        with self._runtime.pausing(pause_once):
            yield


def embed_prepared(network: Network, images: NDArray[np.uint8], device: torch.device) -> Embeddings:
    """One batch of preprocessed images (N, S, S, 3) uint8 through a network in evaluation mode, as it is.

    Raises:
        EmbeddingError: a number in an embedding is not finite.
    """
    return _finite(run_network(network, images, device))


def _finite(embeddings: Embeddings) -> Embeddings:
    # Both: with border padding a theta of NaN gives a finite embedding.
    if not all(np.isfinite(array).all() for array in embeddings):
        raise EmbeddingError("the network's output is not finite: the checkpoint or the numeric path is at fault")
    return embeddings


def compute_in_float32() -> None:
    """Makes float32 mean float32 on a GPU: convolutions would silently run in TF32, with 10 bits of mantissa."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def pick_device(name: str) -> str:
    """``"auto"`` is the first GPU that torch can use, else the CPU; any other name is taken as it is.

    Raises:
        ValueError: a GPU was asked for by name and there is none, or no device is called so.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"the device {name!r} was asked for, and torch finds no GPU here: use cpu or auto")
    try:
        return str(torch.device(name))
    except RuntimeError:
        raise ValueError(f"there is no device {name!r}: use auto, cpu, cuda or cuda:N") from None
