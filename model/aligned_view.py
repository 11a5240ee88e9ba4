"""The picture of what the network saw: theta applied to the input image (paper, Fig. 3)."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray

from model.alignment import ALIGN_CORNERS, kept_columns
from model.config import NetworkConfig, Padding, SANetConfig
from model.preprocessing import Preprocessing


def aligned_view(
    image: NDArray[np.uint8], theta: ArrayLike, config: NetworkConfig, preprocessing: Preprocessing
) -> NDArray[np.uint8]:
    """An image as the network aligned it, and of an aligned input no more than the trunk saw.

    What the turn brings in from outside (where the padding is zeros) has the mean colour, which the network sees as 0.
    So have the columns of an aligned input that the trunk does not see: the view stays square.

    The caller's thread alone computes it. Most of torch's functions would share the work among threads, which wait for
    each other and take turns with those that embed: of torch there is only the sampling, which of a single image does
    without.

    Args:
        image: the preprocessed image (S, S, 3).
        theta: (2, 3), the network's answer to it.
        config: of the network.
        preprocessing: of the network; its mean is used.

    Returns:
        (S, S, 3).
    """
    mean_colour = 255 * np.array(preprocessing.mean, np.float32)
    pixels = np.ascontiguousarray((image - mean_colour).transpose(2, 0, 1))
    padding: Padding = config.padding if isinstance(config, SANetConfig) else "zeros"
    side = image.shape[1]
    grid = _sampling_grid(np.asarray(theta, np.float32), side)
    with torch.inference_mode():
        inputs = torch.from_numpy(pixels)[None], torch.from_numpy(grid)[None]
        warped = F.grid_sample(*inputs, padding_mode=padding, align_corners=ALIGN_CORNERS)[0].numpy()
    if isinstance(config, SANetConfig) and config.aligned == "input":
        left = (side - kept_columns(config, side)) // 2
        warped[..., :left] = warped[..., side - left :] = 0
    view = warped.transpose(1, 2, 0) + mean_colour
    return np.rint(view, out=view).clip(0, 255).astype(np.uint8)


def _sampling_grid(theta: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Where each output pixel (side, side) comes from, as x and y in [-1, 1]; -1 and 1 are the outer edges."""
    centres = ((2 * np.arange(side) + 1) / side - 1).astype(np.float32)
    x, y = centres[None, :, None], centres[:, None, None]
    return theta[:, 0] * x + theta[:, 1] * y + theta[:, 2]
