"""What teaches a heading without a single annotated one. K headings, all considered at once."""

import math

import torch
from torch import Tensor

from model.polar import NUM_HEADINGS

HEADING_SHARPNESS = 20.0
"""Turns cosines into logits of headings."""
_FLOOR = 1e-6


def matching_loss(log_p: Tensor) -> Tensor:
    """The identity is recognised at *some* heading: -log of the mean over headings of p(identity | heading).

    Because the features have no mean over the circle, evidence can only lie at particular headings: to recognise a
    vehicle is to find out how its views are turned against each other.

    Args:
        log_p: log p(own identity | heading) (N, K) of `Templates`.
    """
    return -(torch.logsumexp(log_p, -1) - math.log(NUM_HEADINGS)).mean()


def heading_loss(log_heading: Tensor, places: Tensor, period: int = NUM_HEADINGS) -> Tensor:
    """Cross-entropy with a narrow distribution around a place; with a period of K / 2 around its opposite too.

    Args:
        log_heading: log p(heading) (N, K).
        places: (N,) where on the circle, in steps.
        period: K, or K / 2 for an axis whose ends are alike.
    """
    step = torch.arange(NUM_HEADINGS, device=log_heading.device)
    off = (step - places[:, None] + period / 2) % period - period / 2
    return -(torch.softmax(-off.square() / 2, -1) * log_heading).sum(1).mean()


def located_matching_loss(log_p: Tensor, log_heading: Tensor) -> Tensor:
    """As `matching_loss`, but only at the two ends of the axis that the heading has found."""
    heading = log_heading.detach().exp()
    axis = torch.log((heading + heading.roll(NUM_HEADINGS // 2, -1)) / 2 + _FLOOR)
    return -torch.logsumexp(axis + log_p, -1).mean()
