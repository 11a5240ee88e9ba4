"""Which way is up: the turn at which the mean of all aligned vehicles is its own mirror image."""

import math

import torch
from torch import Tensor

from model.alignment import theta_of_turn, warp

_STEP_DEG = 2.0


def upright_turn_rad(images: Tensor, headings_rad: Tensor) -> float:
    """The constant to add to all headings so that the vehicles' long axis becomes the vertical of the aligned view.

    Nobody told the network what a front is: it has found one heading for all vehicles, at any angle to it. Vehicles are
    alike left and right, and less so front and rear, so the mean of the aligned views shows the axis. Which of its ends
    is up remains chance.

    Args:
        images: (N, 3, S, S) normalised.
        headings_rad: (N,) as the network sees them.
    """
    mean = warp(images, theta_of_turn(math.pi / 2 - headings_rad), "zeros").mean(0)
    turns = torch.deg2rad(torch.arange(0.0, 180.0, _STEP_DEG))
    turned = warp(mean.expand(len(turns), -1, -1, -1), theta_of_turn(-turns), "zeros")
    side = turned.shape[-1]
    centre = (torch.arange(side) + 0.5) / side * 2 - 1
    disc = centre.square() + centre.square()[:, None] < 1
    asymmetry = ((turned - turned.flip(3)).square() * disc).mean((1, 2, 3))
    return float(turns[asymmetry.argmin()])
