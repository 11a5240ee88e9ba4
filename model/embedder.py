"""From crops to embeddings: the model on its device, in its numeric path."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from model.build import Network
from model.checkpoint import Checkpoint

Precision = Literal["float32", "bf16"]

DEFAULT_BATCH: Final = 16

# Any of these multiplies bfloat16 (x86, then ARM), by the names of `torch.cpu.get_capabilities`.
_BF16_INSTRUCTIONS: Final = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")


class EmbeddingError(RuntimeError):
    """The network gave something that is no embedding (NaN or infinity).

    Never what a device raises: `torch.OutOfMemoryError` and the like pass through the embedder as they are.
    """


class Embeddings(NamedTuple):
    """Embeddings (N, D) float32 and the thetas (N, 2, 3) float32 that aligned them."""

    embedding: NDArray[np.float32]
    theta: NDArray[np.float32]


class Embedder:
    """Runs one checkpoint. Not thread-safe: one thread owns it and its device.

    An embedding is repeated to the last bit by the same build of torch with the same batch, on the same kind of device
    with the same number of threads. In another batch, or on another CPU, its last digits are others.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu", precision: Precision = "float32") -> None:
        self.card = checkpoint.card
        self.device = torch.device(device)
        self.precision: Precision = precision
        if precision == "float32":
            compute_in_float32()
        self._network = checkpoint.network.to(self.device).to(memory_format=torch.channels_last).eval()

    @property
    def embedding_dim(self) -> int:
        """D."""
        return self.card.config.embedding_dim

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
        """One batch of preprocessed images (N, S, S, 3) uint8 through the network at once.

        Raises:
            EmbeddingError: a number in an embedding is not finite.
        """
        return embed_prepared(self._network, images, self.device, self.precision)

    @contextmanager
    def pausing(self, pause: Callable[[], None]) -> Iterator[None]:
        """In the block, calls `pause` before each convolution of what is embedded, in the thread that embeds.

        `pause` may embed other images, which are not paused themselves. The embeddings are the same to the last bit.
        """
        is_paused = False

        def pause_once(*_: object) -> None:
            nonlocal is_paused
            if is_paused:
                return
            is_paused = True
            try:
                pause()
            finally:
                is_paused = False

        convolutions = [module for module in self._network.modules() if isinstance(module, torch.nn.Conv2d)]
        hooks = [convolution.register_forward_pre_hook(pause_once) for convolution in convolutions]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def embed_prepared(
    network: Network, images: NDArray[np.uint8], device: torch.device, precision: Precision
) -> Embeddings:
    """One batch of preprocessed images (N, S, S, 3) uint8 through a network in evaluation mode, on its device.

    Raises:
        EmbeddingError: a number in an embedding is not finite.
    """
    # NHWC memory seen as NCHW is torch's channels_last: no copy.
    batch = torch.from_numpy(np.require(images, requirements="W")).permute(0, 3, 1, 2).to(device)
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        output = network(batch)
    embeddings = Embeddings(output.embedding.float().cpu().numpy(), output.theta.float().cpu().numpy())
    # Both: with border padding a theta of NaN gives a finite embedding.
    if not all(np.isfinite(array).all() for array in embeddings):
        raise EmbeddingError("the network's output is not finite: the checkpoint or the numeric path is at fault")
    return embeddings


def compute_in_float32() -> None:
    """Makes float32 mean float32 on a GPU: convolutions would silently run in TF32, with 10 bits of mantissa."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def slow_precision_warning(device: str, precision: Precision) -> str | None:
    """What to set where the device imitates the precision, which is far slower than float32; None where it does not.

    For devices of other kinds than cpu and cuda nothing is known, and None is returned.
    """
    kind = torch.device(device).type
    if precision != "bf16":
        return None
    if kind == "cpu":
        capabilities = torch.cpu.get_capabilities()
        is_native = any(capabilities.get(name, False) for name in _BF16_INSTRUCTIONS)
        lacking = "this CPU has no instructions for bf16 (on x86 AVX512-BF16 or AMX)"
    elif kind == "cuda":
        is_native = torch.cuda.is_bf16_supported(including_emulation=False)
        lacking = "this GPU has no instructions for bf16 (they came with compute capability 8.0)"
    else:
        return None
    if is_native:
        return None
    return f"{lacking} and is many times slower at it: set the precision (SANET_PRECISION, --precision) to float32"


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
