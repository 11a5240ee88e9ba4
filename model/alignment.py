"""Self-alignment: a spatial transformer on the trunk's map (paper, Sec. II-B, Fig. 3), or on the network's input."""

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.config import ConfigError, Padding, SANetConfig, Transform
from model.polar import PolarHeading

ALIGN_CORNERS: Final = False
"""One convention for every warp, of maps and of images: -1 and 1 are the outer edges of the border pixels."""

CELL_PX: Final = 16
"""Side of what one cell of the trunk's map stands for in the input."""

# What the localisation net puts out per family, at the identity.
_IDENTITY: Final[dict[Transform, tuple[float, ...]]] = {
    "affine": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),  # theta, row by row
    "similarity": (1.0, 0.0, 0.0, 0.0),  # s*cos, s*sin, x shift, y shift
    "rotation": (1.0, 0.0),  # an unnormalised (cos, sin)
}


class SelfAlignment(nn.Module):
    """Predicts theta from a feature map and resamples the map by it.

    One localisation net serves both spatial branches: two convolutions and two fully connected layers (paper,
    Sec. II-B; the widths are ours, the paper gives none). Its last layer starts at zero weight and the family's
    identity as bias, so that an untrained module changes nothing.
    """

    def __init__(self, in_channels: int, transform: Transform, padding: Padding) -> None:
        super().__init__()
        self.transform: Transform = transform
        self.padding: Padding = padding
        identity = torch.tensor(_IDENTITY[transform])
        last = nn.Linear(64, len(identity))
        nn.init.zeros_(last.weight)
        last.bias.data = identity
        self.localization = nn.Sequential(
            nn.Conv2d(in_channels, 128, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(128, 64, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, 64),
            nn.ReLU(inplace=True),
            last,
        )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, C, H, W) -> the aligned features (N, C, H, W) and theta (N, 2, 3) float32."""
        theta = theta_from_parameters(self.localization(features), self.transform)
        return warp(features, theta, self.padding), theta


class InputAlignment(nn.Module):
    """Turns the images themselves, so that the trunk sees every vehicle the same way (docs/decisions/0014).

    The heading has been learned before anything else (`training.heading`); no gradient flows through it.
    """

    def __init__(self, config: SANetConfig) -> None:
        super().__init__()
        self.config = config
        self.heading = PolarHeading()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images (N, 3, S, S) -> (N, 3, S, W), headings upwards, and theta (N, 2, 3) float32.

        Vehicles are longer than wide: the aligned input keeps the middle `kept_columns` alone.
        """
        with torch.no_grad():
            theta = theta_of_turn(math.pi / 2 - self.heading(images))
        side = images.shape[-1]
        left = (side - kept_columns(self.config, side)) // 2
        return warp(images, theta, self.config.padding)[..., left : side - left], theta


def kept_columns(config: SANetConfig, side: int) -> int:
    """How many of an aligned input's columns the trunk sees, the middle ones, in pixels.

    Args:
        config: of a network whose input is aligned.
        side: of the square input in pixels, a multiple of 16 (a cell of the trunk's map).

    Raises:
        ConfigError: the config keeps more columns than the input has.
    """
    if config.num_columns == 0:
        return max(CELL_PX, round(side * 2 / 3 / CELL_PX) * CELL_PX)
    if config.num_columns * CELL_PX > side:
        raise ConfigError(
            f"num_columns must be at most {side // CELL_PX} for an input of {side} pixels a side "
            f"({CELL_PX} pixels each), got {config.num_columns}"
        )
    return config.num_columns * CELL_PX


def theta_of_turn(turn_rad: Tensor) -> Tensor:
    """The theta (N, 2, 3) that turns the content by (N,) radians, counter-clockwise."""
    # Theta maps back, from the output, and rows point down: the two signs cancel.
    return theta_from_parameters(torch.stack([turn_rad.cos(), turn_rad.sin()], dim=1), "rotation")


def theta_from_parameters(parameters: Tensor, transform: Transform) -> Tensor:
    """The localisation net's output (N, P) as theta (N, 2, 3) float32; P is 6, 4 or 2 by family."""
    parameters = parameters.float()
    if transform == "affine":
        return parameters.view(-1, 2, 3)
    if transform == "similarity":
        a, b, x, y = parameters.unbind(1)
    elif transform == "rotation":
        # The epsilon keeps the gradient finite should both numbers vanish.
        a, b = F.normalize(parameters, dim=1, eps=1e-6).unbind(1)
        x = y = torch.zeros_like(a)
    else:
        raise ValueError(f"the transform {transform!r} has no theta")
    return torch.stack([a, -b, x, b, a, y], dim=1).view(-1, 2, 3)


def warp(images: Tensor, theta: Tensor, padding: Padding) -> Tensor:
    """Resamples (N, C, H, W) by theta (N, 2, 3), which maps output to input coordinates in [-1, 1].

    Runs in float32 whatever the autocast: bfloat16 coordinates would be off by up to 1/256 of the map.
    """
    with torch.autocast(images.device.type, enabled=False):
        grid = affine_grid(theta.float(), images.shape[2], images.shape[3])
        warped = F.grid_sample(images.float(), grid, padding_mode=padding, align_corners=ALIGN_CORNERS)
    return warped.to(images.dtype)


def affine_grid(theta: Tensor, height: int, width: int) -> Tensor:
    """Where (N, H, W, 2) in the input each output pixel's centre lies by theta (N, 2, 3), in [-1, 1].

    As torch's own without `align_corners`, in operations that every runtime has: few can convert torch's.
    """
    x = (2 * torch.arange(width, device=theta.device, dtype=theta.dtype) + 1) / width - 1
    y = (2 * torch.arange(height, device=theta.device, dtype=theta.dtype) + 1) / height - 1
    centres = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=-1).view(-1, 2)
    grid = centres @ theta[:, :, :2].transpose(1, 2) + theta[:, None, :, 2]
    return grid.view(-1, height, width, 2)


def identity_theta(num: int, device: torch.device | None = None) -> Tensor:
    """The theta that changes nothing: (num, 2, 3) float32."""
    return torch.eye(2, 3, device=device).repeat(num, 1, 1)
