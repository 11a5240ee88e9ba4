"""What a heading is learned from: images in an order of chance, differently lit, turned, scaled and shifted."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from model.normalization import Normalization
from model.polar import polar_views, thumbnails

BATCH_SIZE: Final = 64
_HALF_FROM, _QUARTER_FROM = 0.4, 0.75
_MOST_NOISE: Final = 0.2  # of normalised images

Batches = Callable[[Iterable[NDArray[np.int64]]], Iterator[Tensor]]
"""Positions (N,), batch by batch -> images (N, 3 or 4, S, S) uint8; such as `Crops.batches`."""


@dataclass(frozen=True)
class Examples:
    """The images that a heading is learned from.

    Attributes:
        batches: gives the images of positions.
        labels: the identity of each position.
        normalization: of the network that the heading belongs to.
        num_steps: of the whole training.
    """

    batches: Batches
    labels: Sequence[int]
    normalization: Normalization
    num_steps: int
    seed: int
    device: torch.device

    def batch_order(self, num: int) -> list[NDArray[np.int64]]:
        """Which of `num` images are in each step's batch: all in turn, in an order of chance.

        Not p x k: the more identities in a batch, the more often every template is taught.
        """
        random = np.random.default_rng([2, self.seed])
        batches: list[NDArray[np.int64]] = []
        while len(batches) < self.num_steps:
            shuffled = random.permutation(num)
            batches += [shuffled[i : i + BATCH_SIZE] for i in range(0, max(num - BATCH_SIZE, 0) + 1, BATCH_SIZE)]
        return batches[: self.num_steps]

    def in_order(self, positions: NDArray[np.int64]) -> Iterator[Tensor]:
        """The images of the positions, normalised, on the device, batch by batch."""
        for images in self.batches(positions[i : i + 256] for i in range(0, len(positions), 256)):
            yield self.normalized(images)

    def normalized(self, images: Tensor) -> Tensor:
        """A batch (N, 3 or 4, S, S) uint8 as a network sees it (N, 3, S, S)."""
        normalized: Tensor = self.normalization(images[:, :3].to(self.device))
        return normalized


def with_less_detail(images: Tensor, generator: torch.Generator) -> Tensor:
    """Normalised images (N, 3, S, S) as thumbnails, some of half or a quarter of their resolution, with noise.

    Crops of a drone are as small as 20 pixels a side: what a heading is read from must be there in those too.
    """
    images = thumbnails(images)
    num = len(images)
    share = torch.rand(num, 1, 1, 1, generator=generator).to(images.device)
    for side, lowest in ((2, _HALF_FROM), (4, _QUARTER_FROM)):
        coarse = F.interpolate(F.avg_pool2d(images, side), scale_factor=side, mode="bilinear", align_corners=False)
        images = torch.where(share >= lowest, coarse, images)
    deviation = _MOST_NOISE * torch.rand(num, 1, 1, 1, generator=generator)
    return images + (deviation * torch.randn(images.shape, generator=generator)).to(images.device)


def augmented_views(images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Normalised images (N, 3, S, S) -> polar views of them, each changed by chance, and its turn (N,) in radians."""
    num, device = len(images), images.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return (torch.rand(num, *shape, generator=generator) * (high - low) + low).to(device)

    # Of normalised images: a colour cast each, and some without colour, so that paint and light say nothing.
    images = thumbnails(images) * uniform(0.6, 1.4, 1, 1, 1) * uniform(0.8, 1.2, 3, 1, 1) + uniform(-0.5, 0.5, 3, 1, 1)
    images = torch.where(uniform(0, 1, 1, 1, 1) < 0.3, images.mean(1, keepdim=True), images)
    turn_rad = uniform(0, 2 * math.pi)
    # Crops are cut tight here and wide there.
    return polar_views(images, turn_rad, uniform(0.85, 1.35), uniform(-0.1, 0.1, 2)), turn_rad
