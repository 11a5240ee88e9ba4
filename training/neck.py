"""A BatchNorm between a reduction and its losses (BNNeck, Luo et al. 2019), which no checkpoint has to know of."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, cast

import torch
from torch import Tensor, nn

from model.build import Network
from model.config import PART_DIM, NetworkConfig, SANetConfig
from model.sanet import SANet

_EPS: Final = 1e-5


class Necks(nn.Module):
    """One for each branch: zero mean and unit variance in every feature, without weights of its own."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        num_parts = config.num_parts if isinstance(config, SANetConfig) else 0
        widths = [PART_DIM] + [num_parts * PART_DIM] * (2 if num_parts else 0)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width, _EPS, affine=False) for width in widths)

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """The branches (N, D) each, normalised."""
        return [norm(branch) for norm, branch in zip(self.norms, branches, strict=True)]


@torch.no_grad()
def fold_necks(network: Network, necks: Necks | None) -> Network:
    """A copy of the network in evaluation mode whose reductions do what the necks' running statistics would.

    (W x + b - mean) / std is again a linear layer: W / std and (b - mean) / std. Without necks it is only a copy.
    """
    folded = copy.deepcopy(network).eval()
    if necks is None:
        return folded
    if not isinstance(folded, SANet):
        raise TypeError("only SANet has reductions that a neck can be folded into")
    means, variances = (
        torch.split(torch.cat([norm.get_buffer(name) for norm in necks.norms]), PART_DIM)
        for name in ("running_mean", "running_var")
    )
    for reduction, mean, variance in zip(_reductions(folded), means, variances, strict=True):
        factor = (variance + _EPS).rsqrt()
        reduction.weight.mul_(factor[:, None, None, None])
        reduction.get_parameter("bias").sub_(mean).mul_(factor)
    return folded


def _reductions(network: SANet) -> Iterator[nn.Conv2d]:
    """Branch by branch, part by part."""
    yield network.global_branch.reduction
    for branch in (network.top_down_branch, network.left_right_branch):
        if branch is not None:
            yield from cast(Iterable[nn.Conv2d], branch.reductions)
