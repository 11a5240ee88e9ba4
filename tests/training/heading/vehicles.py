"""Made-up vehicles whose headings are known: bright bodies, dark windscreens in front, and spots that no other has."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 64


def vehicles(num_identities: int, num_views: int, seed: int) -> tuple[Tensor, Tensor, list[int]]:
    """Views at random headings: images (N, 3, S, S) uint8, headings in radians (N,), and whose they are, N numbers."""
    random = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=random)

    images, headings = [], []
    for _ in range(num_identities):
        upright = torch.full((3, SIDE, SIDE), 0.5)
        upright[:, 8:56, 20:44] = 0.55 + 0.45 * uniform(3, 1, 1)
        upright[:, 14:26, 22:42] = 0.05
        for _ in range(3):
            left, top = 22 + int(14 * uniform(1)), 28 + int(20 * uniform(1))
            upright[:, top : top + 7, left : left + 7] = uniform(3, 1, 1)
        heading = 2 * math.pi * uniform(num_views)
        views = turned(upright - 0.5, heading - math.pi / 2) + 0.5
        noisy = views + 0.03 * torch.randn(views.shape, generator=random)
        images.append((noisy.clamp(0, 1) * 255).to(torch.uint8))
        headings.append(heading)
    labels = [identity for identity in range(num_identities) for _ in range(num_views)]
    return torch.cat(images), torch.cat(headings), labels


def turned(image: Tensor, turn_rad: Tensor) -> Tensor:
    """An image (C, S, S) turned counter-clockwise by (N,): (N, C, S, S); by torch alone, not by the code under test."""
    cos, sin, zero = turn_rad.cos(), turn_rad.sin(), torch.zeros_like(turn_rad)
    # What is up at the output is found where it was before the turn; rows point down.
    theta = torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(theta, [len(theta), *image.shape], align_corners=False)
    return F.grid_sample(image.expand(len(theta), -1, -1, -1), grid, align_corners=False)
