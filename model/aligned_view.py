"""The picture of what the network saw: theta applied to the input image (paper, Fig. 3)."""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from model.alignment import kept_columns, warp
from model.config import NetworkConfig, Padding, SANetConfig
from model.preprocessing import Preprocessing


def aligned_view(
    image: NDArray[np.uint8], theta: ArrayLike, config: NetworkConfig, preprocessing: Preprocessing
) -> NDArray[np.uint8]:
    """An image as the network aligned it, and of an aligned input no more than the trunk saw.

    What the turn brings in from outside (where the padding is zeros) has the mean colour, which the network sees as 0.
    So have the columns of an aligned input that the trunk does not see: the view stays square.

    Args:
        image: the preprocessed image (S, S, 3).
        theta: (2, 3), the network's answer to it.
        config: of the network.
        preprocessing: of the network; its mean is used.

    Returns:
        (S, S, 3).
    """
    mean_colour = 255 * torch.tensor(preprocessing.mean).view(1, 3, 1, 1)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() - mean_colour
    matrix = torch.tensor(np.asarray(theta), dtype=torch.float32)[None]
    padding: Padding = config.padding if isinstance(config, SANetConfig) else "zeros"
    warped = warp(pixels, matrix, padding)
    if isinstance(config, SANetConfig) and config.aligned == "input":
        side = image.shape[1]
        left = (side - kept_columns(config, side)) // 2
        warped[..., :left] = warped[..., side - left :] = 0
    return (warped + mean_colour)[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()
