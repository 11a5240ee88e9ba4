"""The picture of what the network saw: theta applied to the input image (paper, Fig. 3)."""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from model.alignment import warp
from model.config import NetworkConfig, Padding, SANetConfig


def aligned_view(image: NDArray[np.uint8], theta: ArrayLike, padding: Padding = "zeros") -> NDArray[np.uint8]:
    """The network's input (S, S, 3) uint8, turned as theta (2, 3) turns the feature map: (S, S, 3) uint8."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    matrix = torch.tensor(np.asarray(theta), dtype=torch.float32)[None]
    warped = warp(pixels, matrix, padding)[0].permute(1, 2, 0)
    return warped.round().clamp(0, 255).to(torch.uint8).numpy()


def padding_of(config: NetworkConfig) -> Padding:
    """What the network reads outside its map, so that the picture shows the same."""
    return config.padding if isinstance(config, SANetConfig) else "zeros"
