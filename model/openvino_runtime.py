"""A network run by OpenVINO on a CPU, in float32."""

import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from model.checkpoint import Checkpoint
from model.embeddings import Embeddings
from model.inference_network import OnPixels, inference_network
from model.silent_openvino import openvino

_LOG = logging.getLogger(__name__)

_FORMAT: Final = 1  # of the cached files; goes up with whatever else changes what is converted
_MODEL: Final = "network.xml"
_PIECE_FLOP: Final = 20e9
_MOST_IMAGES: Final = 64
_MOST_KEPT: Final = 8
_CPU: Final = torch.device("cpu")


class OpenVinoRuntime:
    """A converted network, kept in a folder between starts. It goes through a batch in pieces of about 20 GFLOP.

    A large network is as fast image by image; between two pieces others can be let in. How many images a piece has
    depends on the network alone, so that the same batch gives the same numbers.
    """

    name: Final = f"OpenVINO {openvino.__version__.partition('-')[0]}"

    def __init__(self, checkpoint: Checkpoint, cache: Path, *, use_kept: bool = True) -> None:
        """Reads the converted network from the cache, or converts it, which takes seconds, and keeps it there.

        Args:
            checkpoint: whose network stays as it is.
            cache: a folder, which may not be there or not be writable.
            use_kept: what is in the cache already is read.
        """
        size = checkpoint.card.preprocessing.size_px
        kept = cache / f"{checkpoint.card.fingerprint}-{_FORMAT}-{openvino.__version__.replace('/', '-')}"
        core = openvino.Core()
        model = None
        if use_kept and (kept / _MODEL).is_file():
            model = core.read_model(kept / _MODEL)
        if model is None:
            network = inference_network(checkpoint.network, size, _CPU, "float32")
            model = _convert(network, size)
            _keep(model, kept)
        self._piece = images_per_piece(int(model.get_rt_info("flop").value))
        options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            # Two processes that pin their threads would share the first core, and leave the last one idle.
            "ENABLE_CPU_PINNING": False,
        }
        # It gives the thread that compiles another stack for signals and, once it is gone, one that was freed: the next
        # signal would end the process. So a thread compiles that ends and gets no signal.
        with ThreadPoolExecutor(1, "compile") as thread:
            self._compiled = thread.submit(core.compile_model, model, "CPU", options).result()
        self._pause: Callable[[], None] | None = None

    def __call__(self, images: NDArray[np.uint8]) -> Embeddings:
        """Images (N, S, S, 3) uint8."""
        pieces = []
        for start in range(0, len(images), self._piece):
            if self._pause is not None:
                self._pause()
            result = self._compiled([np.ascontiguousarray(images[start : start + self._piece])])
            pieces.append((result[0], result[1]))
        embedding, theta = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
        return Embeddings(embedding, theta)

    @contextmanager
    def pausing(self, pause: Callable[[], None]) -> Iterator[None]:
        """In the block, calls `pause` before each piece of a batch."""
        self._pause = pause
        try:
            yield
        finally:
            self._pause = None


def images_per_piece(flop: int) -> int:
    """Of a network that takes so many floating point operations for one image."""
    return int(np.clip(_PIECE_FLOP / flop, 1, _MOST_IMAGES))


def _convert(network: nn.Module, size: int) -> Any:
    images = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    on_pixels = OnPixels(network.to(memory_format=torch.contiguous_format))
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        on_pixels(images)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own parts
        num_images = torch.export.Dim("num_images", max=_MOST_IMAGES)
        program = torch.export.export(on_pixels, (images,), dynamic_shapes={"images": {0: num_images}})
        model = openvino.convert_model(program)
    model.set_rt_info(str(counter.get_total_flops() // len(images)), "flop")
    return model


def _keep(model: Any, kept: Path) -> None:
    """Writes it beside and renames the folder, so that it is there whole or not at all."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix="converting-", ignore_cleanup_errors=True) as folder:
            openvino.save_model(model, Path(folder) / "new" / _MODEL, compress_to_fp16=False)
            shutil.rmtree(kept, ignore_errors=True)
            (Path(folder) / "new").rename(kept)
        _forget_all_but(_MOST_KEPT, kept.parent)
    except (OSError, RuntimeError) as error:
        _LOG.warning("the converted network cannot be kept in %s: the next start converts it again: %s", kept, error)


def _forget_all_but(number: int, cache: Path) -> None:
    """Removes the networks that were converted first; each takes what its weights take."""
    kept = sorted(cache.glob(f"*-{_FORMAT}-*/{_MODEL}"), key=lambda model: model.stat().st_mtime)
    for model in kept[:-number]:
        shutil.rmtree(model.parent, ignore_errors=True)
