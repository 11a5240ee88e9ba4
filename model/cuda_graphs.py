"""A network's kernels on a GPU, launched all at once (CUDA graphs): of a small batch, launching takes most time."""

import threading
from typing import Final, NamedTuple

import torch
from torch import Tensor

from model.build import Network
from model.sanet import NetworkOutput

_SIZES: Final = (1, 2, 4, 8, 16, 32, 64)
_NUM_EAGER: Final = 3
# Torch captures one graph at a time in a process: a job may warm a network up while another one embeds.
_CAPTURING: Final = threading.Lock()


class _Captured(NamedTuple):
    graph: torch.cuda.CUDAGraph
    images: Tensor
    output: NetworkOutput


def graph_size(num_images: int) -> int | None:
    """The size of the graph that takes a batch: zeros fill it up. None for a batch that is larger than all."""
    return next((size for size in _SIZES if num_images <= size), None)


class GraphedNetwork:
    """A network in evaluation mode, captured for each size of a batch when that first comes. Not thread-safe.

    A size for which there is no memory is launched kernel by kernel from then on.
    """

    def __init__(self, network: Network, device: torch.device) -> None:
        self._network = network
        self._device = device
        self._captured: dict[int, _Captured | None] = {}
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, images: Tensor) -> NetworkOutput:
        """Images (N, S, S, 3) uint8 in pinned memory -> the output on the GPU, which the next call replaces."""
        num_images = images.shape[0]
        size = graph_size(num_images)
        with torch.cuda.device(self._device):
            if size is not None and size not in self._captured:
                self._captured[size] = self._capture(size, images.shape[1])
            captured = None if size is None else self._captured[size]
            if captured is None:
                output: NetworkOutput = self._network(images.to(self._device, non_blocking=True).permute(0, 3, 1, 2))
                return output
            captured.images[:num_images].copy_(images, non_blocking=True)
            captured.graph.replay()
            return NetworkOutput(*(tensor[:num_images] for tensor in captured.output))

    def _capture(self, size: int, side: int) -> _Captured | None:
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._device))
        try:
            with _CAPTURING:
                images = torch.zeros(size, side, side, 3, dtype=torch.uint8, device=self._device)
                # The first batches choose their kernels and allocate, as capturing wants it.
                with torch.cuda.stream(stream):
                    for _ in range(_NUM_EAGER):
                        self._network(images.permute(0, 3, 1, 2))
                graph = torch.cuda.CUDAGraph()
                # Only this thread's calls count: another one searches on the same GPU, which "global" forbids.
                with torch.cuda.graph(graph, self._pool, stream=stream, capture_error_mode="thread_local"):
                    output = self._network(images.permute(0, 3, 1, 2))
        except torch.OutOfMemoryError:
            return None
        torch.cuda.current_stream(self._device).wait_stream(stream)
        return _Captured(graph, images, output)
