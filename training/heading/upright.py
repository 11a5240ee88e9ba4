"""Which way is up: the turn at which the aligned vehicles stand upright, and their mean is its own mirror image."""

import math

import torch
from torch import Tensor

from model.alignment import theta_of_turn, warp

_STEP_DEG = 2.0


def upright_turn_rad(images: Tensor, headings_rad: Tensor) -> float:
    """The constant to add to all headings so that the vehicles' long axis becomes the vertical of the aligned view.

    Nobody told the network what a front is: it has found one heading for all vehicles, at any angle to it. Vehicles are
    longer than wide: crops, cut tight, reach furthest along the axis. And they are alike left and right: of the turns
    at which they stand rather than lie, the one is taken whose mean view is most like its mirror image. Which end of
    the axis is up remains chance.

    Args:
        images: (N, 3, S, S) normalised; 0 where a crop was padded.
        headings_rad: (N,) as the network sees them.
    """
    thetas = theta_of_turn(math.pi / 2 - headings_rad)
    mean = warp(images, thetas, "zeros").mean(0)
    reach = warp(images.square().mean(1, keepdim=True), thetas, "zeros").mean(0)
    turns = torch.deg2rad(torch.arange(0.0, 180.0, _STEP_DEG))
    turned = theta_of_turn(-turns)
    means = warp(mean.expand(len(turns), -1, -1, -1), turned, "zeros")
    reaches = warp(reach.expand(len(turns), -1, -1, -1), turned, "zeros")[:, 0]
    side = means.shape[-1]
    centre = ((torch.arange(side) + 0.5) / side * 2 - 1).square()
    disc = centre + centre[:, None] < 1
    asymmetry = ((means - means.flip(3)).square() * disc).mean((1, 2, 3))
    stands = (reaches * disc * (centre[:, None] - centre)).sum((1, 2)) > 0  # higher than wide
    return float(turns[torch.where(stands, asymmetry, torch.inf).argmin()])
