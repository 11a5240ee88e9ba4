"""The heading of a vehicle from a polar view of it, by a network that turns with its input.

Around the crop's centre the picture becomes angle x radius: a turn of the vehicle is a shift along the angles. All that
follows is convolutions along a circle, which commute with such shifts, so that a turned vehicle gives the same answer,
shifted (Cohen & Welling 2016, for this one group). What a vehicle's heading *is* has to be learned; that it turns with
the vehicle has not.
"""

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.normalization import Normalization

NUM_HEADINGS: Final = 64
"""Directions that are told apart before interpolation: 5.6 degrees each."""
FEATURE_DIM: Final = 64
_NUM_ANGLES: Final = 2 * NUM_HEADINGS
_NUM_RADII: Final = 24
_THUMBNAIL_PX: Final = 64


class PolarHeading(nn.Module):
    """Features on a circle, and the heading at which they look most like one learned pattern."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _CircularConv(4, 32, (5, 5), stride=(2, 2)),
            _CircularConv(32, 64, (3, 3)),
            _CircularConv(64, 64, (3, 5), stride=(2, 1)),
            _CircularConv(64, 96, (3, 5)),
            _CircularConv(96, 96, (3, 5), stride=(2, 1)),
            _CircularConv(96, 128, (3, 5)),
            nn.Conv2d(128, FEATURE_DIM, kernel_size=(3, 1), bias=False),
        )
        self.pattern = nn.Parameter(torch.randn(FEATURE_DIM, NUM_HEADINGS) * 0.01)
        # Which way the aligned view shows the common heading: the turn from the pattern's own zero to "up".
        self.register_buffer("zero_rad", torch.tensor(0.0))
        self.zero_rad: Tensor

    def circle(self, polar: Tensor) -> Tensor:
        """Polar views (N, 4, R, A) -> features of unit length on the circle (N, `FEATURE_DIM`, `NUM_HEADINGS`) float32.

        Each feature's mean over the circle is taken out: what does not change when the vehicle turns says nothing of
        its heading, and left in, it is enough to recognise a vehicle by: no heading would be learned.
        """
        features: Tensor = self.features(polar)[:, :, 0].float()
        features = features - features.mean(-1, keepdim=True)
        return features / (features.square().sum((1, 2), keepdim=True) + 1e-6).sqrt()

    @torch.no_grad()
    def adapt(self, learned: Normalization, used: Normalization) -> None:
        """Makes a heading that was learned from images normalised one way read images normalised another way.

        x as learned is `scale` x + `shift` of x as used: the scale goes into the first convolution's weights, the shift
        into the mean that the BatchNorm behind it takes away. Only at the disc's inner and outer rim, where zeros are
        padded, a little of the shift remains. In evaluation mode, and nothing changes where both are the same.
        """
        scale = (used.std / learned.std).view(1, 3, 1, 1)
        shift = ((used.mean - learned.mean) / learned.std).view(1, 3, 1, 1)
        weight = self.get_parameter("features.0.conv.weight")
        running_mean = self.get_buffer("features.0.norm.running_mean")
        # The fourth channel is the radius, which nobody normalises.
        running_mean -= (weight[:, :3] * shift).sum((1, 2, 3))
        weight[:, :3] *= scale

    def likeness(self, features: Tensor) -> Tensor:
        """Features (N, F, K) -> how much each heading looks like the pattern (N, K): cosines.

        This is `correlate` with one pattern, as one matrix product: the pattern is turned to each heading beforehand.
        """
        pattern = self.pattern / (self.pattern.norm() + 1e-6)
        heading = torch.arange(NUM_HEADINGS, device=pattern.device)
        turned = pattern[:, (heading[:, None] - heading) % NUM_HEADINGS]  # (F, K, K): turned to the last axis' heading
        cosines: Tensor = features.flatten(1) @ turned.flatten(0, 1)
        return cosines

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (N, 3, S, S) -> headings (N,) in radians, counter-clockwise from the right."""
        # In float32 whatever the autocast: with 8 bits of mantissa the peak would jitter by degrees.
        with torch.autocast(images.device.type, enabled=False):
            return peak_rad(self.likeness(self.circle(polar_views(thumbnails(images.float()))))) + self.zero_rad


class _CircularConv(nn.Module):
    """Convolution, BatchNorm, ReLU over (radius, angle): the angles are a circle, beyond the radii are zeros."""

    def __init__(self, num_in: int, num_out: int, kernel: tuple[int, int], stride: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self._wrap = kernel[1] // 2
        self.conv = nn.Conv2d(num_in, num_out, kernel, stride, padding=(kernel[0] // 2, 0), bias=False)
        self.norm = nn.BatchNorm2d(num_out)

    def forward(self, x: Tensor) -> Tensor:
        wrapped = torch.cat([x[..., -self._wrap :], x, x[..., : self._wrap]], dim=-1)
        return F.relu(self.norm(self.conv(wrapped)), inplace=True)


def thumbnails(images: Tensor) -> Tensor:
    """Images (N, 3, S, S) averaged down to 64 pixels a side: what the heading needs, and no finer than the angles."""
    return F.adaptive_avg_pool2d(images, _THUMBNAIL_PX) if images.shape[-1] > _THUMBNAIL_PX else images


def polar_views(
    images: Tensor, turn_rad: Tensor | None = None, scale: Tensor | None = None, shift: Tensor | None = None
) -> Tensor:
    """The disc inside square images (N, 3, S, S), angles counter-clockwise from the right.

    Args:
        images: normalised, so that 0 is a mean colour.
        turn_rad: (N,) turns the content counter-clockwise first.
        scale: (N,) radius of the disc in half sides of the image; above 1 the vehicle becomes smaller.
        shift: (N, 2) where the disc lies, x and y in half sides.

    Returns:
        (N, 4, R, A): RGB, and the radius from -1 to 1.
    """
    num, device = images.shape[0], images.device
    angle = torch.arange(_NUM_ANGLES, device=device) * (2 * math.pi / _NUM_ANGLES)
    radius = (torch.arange(_NUM_RADII, device=device) + 0.5) / _NUM_RADII
    angles = angle.expand(num, -1) if turn_rad is None else angle - turn_rad[:, None]
    radii = radius.expand(num, -1) if scale is None else radius * scale[:, None]
    x = radii[:, :, None] * angles.cos()[:, None]
    y = -radii[:, :, None] * angles.sin()[:, None]  # rows point down
    grid = torch.stack([x, y], dim=-1)
    if shift is not None:
        grid = grid + shift[:, None, None]
    with torch.autocast(device.type, enabled=False):
        colours = F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    return torch.cat([colours, (2 * radius - 1).view(1, 1, -1, 1).expand(num, 1, -1, _NUM_ANGLES)], dim=1)


def correlate(features: Tensor, patterns: Tensor) -> Tensor:
    """Circular cross-correlation of (N, F, K) with (M, F, K) -> (N, M, K): at k, the pattern turned to heading k."""
    spectrum = torch.fft.rfft(features.float())
    product = torch.einsum("nfk,mfk->nmk", spectrum, torch.fft.rfft(patterns.float()).conj())
    correlation: Tensor = torch.fft.irfft(product, n=features.shape[-1])
    return correlation


def peak_rad(likeness: Tensor) -> Tensor:
    """Where likeness (N, K) on the circle is highest: (N,) in radians, between two headings by a parabola."""
    num_headings = likeness.shape[-1]
    top = likeness.argmax(-1, keepdim=True)
    before, middle, after = (likeness.gather(1, (top + offset) % num_headings)[:, 0] for offset in (-1, 0, 1))
    bend = before - 2 * middle + after  # negative at a peak; 0 where all are equal
    fraction = torch.where(bend < 0, 0.5 * (before - after) / bend, torch.zeros_like(bend))
    return (top[:, 0] + fraction.clamp(-0.5, 0.5)) * (2 * math.pi / num_headings)
