"""How a batch was aligned, in numbers that show the known ways in which self-alignment fails."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from model.alignment import ALIGN_CORNERS
from model.theta import turn_of

_GRID = 16


def alignment_statistics(theta: Tensor) -> dict[str, float]:
    """Theta (N, 2, 3) -> numbers for the log.

    - ``theta_det_mean``, ``theta_det_min``: area of the sampled map beside the whole; towards 0 it shrinks to a blank,
      above 1 it zooms out, below 0 it mirrors.
    - ``rotation_spread_deg``: circular standard deviation of the turns; 0 if every vehicle is turned alike.
    - ``outside_share``: share of sampled points outside the map, where there is padding.
    """
    theta = theta.detach().float().cpu()
    det = torch.linalg.det(theta[:, :, :2])
    turns = [math.radians(turn_of(one).rotation_deg) for one in theta.tolist()]
    resultant = math.hypot(*(sum(function(turn) for turn in turns) / len(turns) for function in (math.cos, math.sin)))
    grid = F.affine_grid(theta, [len(theta), 1, _GRID, _GRID], align_corners=ALIGN_CORNERS)
    # A resultant of 1 + rounding has no logarithm to take a root of.
    spread = math.sqrt(max(-2 * math.log(max(resultant, 1e-12)), 0.0))
    return {
        "theta_det_mean": float(det.mean()),
        "theta_det_min": float(det.min()),
        "rotation_spread_deg": math.degrees(spread),
        "outside_share": float((grid.abs() > 1).any(dim=3).float().mean()),
    }
