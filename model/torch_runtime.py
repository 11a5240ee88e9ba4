"""A network run by torch itself."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from model.build import Network
from model.cuda_graphs import GraphedNetwork
from model.embeddings import Embeddings, largest_difference
from model.inference_network import inference_network
from model.precision import Precision

_LOG = logging.getLogger(__name__)

# The same kernels on the same batch: what differs more is no graph of this network.
_MOST_DIFFERENCE: Final = 1e-2


class TorchRuntime:
    """On any device, in any numeric path."""

    name: Final = f"torch {torch.__version__}"

    def __init__(self, network: Network, size_px: int, device: torch.device, precision: Precision) -> None:
        self._network = inference_network(network, size_px, device, precision)
        self._device = device
        self._graphed = _checked_graphs(self._network, size_px, device) if device.type == "cuda" else None
        self._before_batch: Callable[[], None] | None = None

    def __call__(self, images: NDArray[np.uint8]) -> Embeddings:
        """Images (N, S, S, 3) uint8."""
        if self._graphed is None:
            return run_network(self._network, images, self._device)
        if self._before_batch is not None:
            self._before_batch()
        pinned = torch.from_numpy(np.require(images, requirements="W")).pin_memory()
        with torch.inference_mode():
            output = self._graphed(pinned)
            return Embeddings(output.embedding.float().cpu().numpy(), output.theta.float().cpu().numpy())

    @contextmanager
    def pausing(self, pause: Callable[[], None]) -> Iterator[None]:
        """In the block, calls `pause` before each convolution; on a GPU, which is quick, before each batch."""
        if self._graphed is not None:
            self._before_batch = pause
            try:
                yield
            finally:
                self._before_batch = None
            return
        convolutions = [module for module in self._network.modules() if isinstance(module, torch.nn.Conv2d)]
        hooks = [convolution.register_forward_pre_hook(lambda *_: pause()) for convolution in convolutions]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def _checked_graphs(network: Network, size_px: int, device: torch.device) -> GraphedNetwork | None:
    """The network as graphs, if they give what it gives; else None, and the log says why."""
    # As many as the graph has: in another batch other kernels run, and in bf16 they differ by more than rounding.
    images = np.random.default_rng(0).integers(0, 256, (4, size_px, size_px, 3), np.uint8)
    graphed = GraphedNetwork(network, device)
    try:
        with torch.inference_mode():
            output = graphed(torch.from_numpy(images).pin_memory())
        found = Embeddings(output.embedding.cpu().numpy(), output.theta.cpu().numpy())
        difference = largest_difference(run_network(network, images, device), found)
    except RuntimeError as error:
        _LOG.warning("no CUDA graphs of this network, its kernels are launched one by one: %s", error)
        return None
    if not difference <= _MOST_DIFFERENCE:
        _LOG.warning("CUDA graphs of this network embed otherwise, by %.1e: they are not used", difference)
        return None
    return graphed


def run_network(network: Network, images: NDArray[np.uint8], device: torch.device) -> Embeddings:
    """One batch of images (N, S, S, 3) uint8 through a network in evaluation mode, on its device."""
    # NHWC memory seen as NCHW is torch's channels_last: no copy.
    batch = torch.from_numpy(np.require(images, requirements="W")).permute(0, 3, 1, 2).to(device)
    with torch.inference_mode():
        output = network(batch)
    return Embeddings(output.embedding.float().cpu().numpy(), output.theta.float().cpu().numpy())
