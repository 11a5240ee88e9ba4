"""Data parallel training under ``torchrun``: one global batch, spread over processes, mined as a whole."""

import os
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx


def join(device: torch.device) -> None:
    """Joins the other processes, if ``torchrun`` started some; it has set what they need to find each other."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        # The others wait while the first validates.
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=6))


def leave() -> None:
    """Ends the group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """This process's number; 0 is the one that writes and reports."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_rank() -> int:
    """This process's number on its own machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def world_size() -> int:
    """How many processes share the batch."""
    return dist.get_world_size() if dist.is_initialized() else 1


def parallel(module: nn.Module) -> nn.Module:
    """The module, its gradients averaged over the processes as they are computed.

    To be called anew whenever other parameters require gradients.
    """
    trains = any(parameter.requires_grad for parameter in module.parameters())
    return nn.parallel.DistributedDataParallel(module) if dist.is_initialized() and trains else module


def share(num: int) -> slice:
    """This process's part of a batch of `num`, which the number of processes divides."""
    size = num // world_size()
    return slice(rank() * size, (rank() + 1) * size)


def any_process(asked: bool) -> bool:
    """Whether it is so in any process: all learn it at the same step."""
    if not dist.is_initialized():
        return asked
    backend_device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    flag = torch.tensor(int(asked), device=backend_device)
    dist.all_reduce(flag, dist.ReduceOp.MAX)
    return bool(flag)


def copy_from_first(module: nn.Module) -> None:
    """Gives the first process's parameters and buffers to all."""
    if dist.is_initialized():
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, 0)


def gather(tensor: Tensor) -> Tensor:
    """The tensors (N, ...) of all processes, in order of their ranks: (world × N, ...), with gradients.

    Each process computes the loss of the whole global batch from it. Its backward sums the processes' gradients, and
    `parallel` then takes their mean: together the gradient of that one loss.
    """
    if not dist.is_initialized():
        return tensor
    gathered: Tensor = _Gather.apply(tensor)
    return gathered


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(_: FunctionCtx, tensor: Tensor) -> Tensor:
        parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(_: FunctionCtx, *gradients: Any) -> Tensor:
        gradient: Tensor = gradients[0].contiguous()
        dist.all_reduce(gradient)
        return gradient.chunk(dist.get_world_size())[dist.get_rank()]
