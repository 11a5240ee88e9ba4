"""How many bytes a computation moves at least: the floor of everything in it that is no matrix product."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_PRODUCTS = ("convolution", "mm", "addmm", "bmm", "einsum")
"""What the floor of the arithmetic counts: good kernels move their bytes meanwhile."""


class MemoryTraffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside it, adds up the sizes of what each operation reads and writes, but for views and matrix products.

    Operations are taken as torch runs them, one by one. A kernel that fuses several moves less, one that reads its
    input twice (BatchNorm in training: once for the statistics) more.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.num_bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs the operation and counts it."""
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if not func.is_view and not any(product in name for product in _PRODUCTS):
            tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
            self.num_bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return result


def copy(device: torch.device) -> tuple[Callable[[], object], int]:
    """A copy of a tensor far larger than a core's cache, and the bytes it reads and writes."""
    source = torch.ones(256 * 2**20 // 4, device=device)
    target = torch.empty_like(source)
    return lambda: target.copy_(source), 2 * source.numel() * source.element_size()
