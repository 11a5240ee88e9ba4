"""A network's kernels on a GPU, launched all at once (CUDA graphs): of a small batch, launching takes most time."""

from typing import Final, NamedTuple

import torch
from torch import Tensor

from model.build import Network
from model.sanet import NetworkOutput

_SIZES: Final = (1, 2, 4, 8, 16, 32, 64)
_NUM_EAGER: Final = 3


class _Captured(NamedTuple):
    graph: torch.cuda.CUDAGraph
    images: Tensor
    output: NetworkOutput


def graph_size(num_images: int) -> int | None:
    """The size of the graph that takes a batch: zeros fill it up. None for a batch that is larger than all."""
    return next((size for size in _SIZES if num_images <= size), None)


class GraphedNetwork:
    """A network in evaluation mode, captured once for each size of a batch when it first comes. Not thread-safe."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._captured: dict[int, _Captured] = {}

    def __call__(self, images: Tensor) -> NetworkOutput:
        """Images (N, S, S, 3) uint8 in pinned memory -> the output on the GPU, which the next call replaces."""
        device = next(self._network.parameters()).device
        num_images = len(images)
        size = graph_size(num_images)
        if size is None:
            output: NetworkOutput = self._network(images.to(device, non_blocking=True).permute(0, 3, 1, 2))
            return output
        captured = self._captured.get(size)
        if captured is None:
            captured = self._captured[size] = self._capture(size, images.shape[1], device)
        captured.images[:num_images].copy_(images, non_blocking=True)
        captured.graph.replay()
        return NetworkOutput(*(tensor[:num_images] for tensor in captured.output))

    def _capture(self, size: int, side: int, device: torch.device) -> _Captured:
        images = torch.zeros(size, side, side, 3, dtype=torch.uint8, device=device)
        # The first batches choose their kernels and allocate, on a stream of their own, as capturing wants it.
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(_NUM_EAGER):
                self._network(images.permute(0, 3, 1, 2))
        torch.cuda.current_stream(device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Only this thread's calls count: another one searches on the same GPU meanwhile, which "global" forbids.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            output = self._network(images.permute(0, 3, 1, 2))
        return _Captured(graph, images, output)
