"""Front or rear: of the two ends of an axis, the one at which vehicles have most in common."""

from collections import Counter

import torch
import torch.nn.functional as F
from torch import Tensor

from model.polar import NUM_HEADINGS

_HALF = NUM_HEADINGS // 2
_NUM_DIRECTIONS = 4  # of the randomised decomposition; the first is used
_NUM_ROUNDS = 8


def find_ends(circles: Tensor, likeness: Tensor, identities: Tensor) -> Tensor:
    """Whether each vehicle's heading is at the other end of the axis than its likeness says: (N,) bool.

    What remains of the features at an axis when those at its opposite are taken away is odd: turned by 180 degrees it
    is its own negative. If vehicles have a front, their odd features lie along one direction, one way or the other;
    light, shadow and road, which come from anywhere, do not. That direction is the odd features' first principal axis.
    A single view says little along it; the views of an identity, which also tell by its own marks how they lie to each
    other, are judged together.

    Args:
        circles: features (N, F, K).
        likeness: (N, K) of the heading as far as it is known; most vehicles keep the end that it prefers.
        identities: (N,) whole numbers, on the CPU.
    """
    axis = likeness.argmax(-1)
    odd = _odd_features(circles, axis)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        _, _, directions = torch.svd_lowrank(odd, min(_NUM_DIRECTIONS, *odd.shape), niter=_NUM_ROUNDS)
    side = _judged_together(odd, odd @ directions[:, 0], identities)
    opposite = (axis + _HALF) % NUM_HEADINGS
    preference = likeness.gather(1, axis[:, None]) - likeness.gather(1, opposite[:, None])
    # Either way along the direction could be called the front: the one that changes less.
    if (side * preference[:, 0]).sum() < 0:
        side = -side
    return side < 0


def _odd_features(circles: Tensor, axis: Tensor) -> Tensor:
    """(N, F * K) of unit length, from each circle's axis (N,) on."""
    steps = (torch.arange(NUM_HEADINGS, device=circles.device) + axis[:, None]) % NUM_HEADINGS
    turned = circles.gather(2, steps[:, None].expand_as(circles))
    return F.normalize((turned - turned.roll(_HALF, -1)).flatten(1))


def _judged_together(odd: Tensor, side: Tensor, identities: Tensor) -> Tensor:
    """1 or -1 for each of (N,): how an identity's views lie to each other, then on which side they are as a whole."""
    judged = torch.empty_like(side)
    order = identities.argsort(stable=True)
    for views in torch.split(order, list(Counter(identities[order].tolist()).values())):
        features, sides = odd[views], side[views]
        alike = (features @ features.T).fill_diagonal_(0) + torch.outer(sides, sides)
        # The signs under which all views are most alike, relaxed: the first eigenvector's.
        relative = torch.linalg.eigh(alike.cpu())[1][:, -1].sign().to(side.device)
        judged[views] = relative * torch.copysign(torch.ones_like(sides[0]), (relative * sides).sum())
    return judged
