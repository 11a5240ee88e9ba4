"""What happens to training images: colours, loss of detail, one warp, erasing; a batch at once, where the network is.

What happens to an image is drawn beforehand from a generator of the caller's, so that it depends neither on threads nor
on the device nor on how a batch is spread over processes; but for backgrounds, which are those of another image of the
same process.
"""

import math
from typing import Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from model.alignment import ALIGN_CORNERS, theta_of_turn
from model.normalization import Normalization
from training.recipe import Recipe

# Rec. 601 luma, and the two chroma axes: the hue turns around the grey axis (Haeberli 1993).
_LUMA = torch.tensor([0.299, 0.587, 0.114])
_RGB_TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_YIQ_TO_RGB = torch.linalg.inv(_RGB_TO_YIQ)
# Random erasing as published (Zhong et al. 2020): share of the image's area, and the side ratio.
_ERASED_SHARE = (0.02, 0.4)
_ERASED_ASPECT = (0.3, 1 / 0.3)
_QUARTER_SHARE: Final = 1 / 3
_STYLE_SHARE: Final = 0.5
_NOISE_SIDE: Final = 521  # a prime: an image's window into the noise is seldom another's


class Drawn(NamedTuple):
    """What happens to each of N images.

    Attributes:
        theta: (N, 2, 3) flip, turn, scale and shift, output to (aligned) input coordinates; the identity for none.
        brightness, contrast, saturation: (N,) factors, 1 for none.
        hue: (N,) in turns, 0 for none.
        cast: (N, 3) added to the channels.
        coarseness: (N,) 1, 2 or 4: how many pixels a side become one.
        noise: (N,) standard deviation of the noise.
        noise_at: (N, 2) whole numbers, where in the noise the image's begins.
        background: (N,) bool, whether it gets the background of the image after it.
        erased: (N, 4) left, top, right, bottom in shares of the sides; an empty rectangle for none.
        style_share: (N,) how much of another image's style its features take over, 0 for none.
        channel_scale: (N, C) factors of the trunk's channels: 0 of those that are dropped, 1 / (1 - p) of the others.
    """

    theta: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    cast: Tensor
    coarseness: Tensor
    noise: Tensor
    noise_at: Tensor
    background: Tensor
    erased: Tensor
    style_share: Tensor
    channel_scale: Tensor

    def part(self, chosen: slice) -> "Drawn":
        """What happens to some of the images."""
        return Drawn(*(values[chosen] for values in self))

    def on(self, device: torch.device) -> "Drawn":
        """The same on a device."""
        pinned = (values.pin_memory() for values in self) if device.type == "cuda" else self
        return Drawn(*(values.to(device, non_blocking=True) for values in pinned))


def draw(recipe: Recipe, num_images: int, rng: np.random.Generator) -> Drawn:
    """Draws what happens to the images of a batch."""
    n = num_images
    jittered = rng.random(n) < recipe.jitter_p

    def factor(spread: float) -> NDArray[np.float32]:
        return np.where(jittered, rng.uniform(1 - spread, 1 + spread, n), 1).astype(np.float32)

    theta = _similarities(recipe, n, rng)
    brightness, contrast, saturation, hue = map(
        factor, (recipe.brightness, recipe.contrast, recipe.saturation, recipe.hue)
    )
    blurred = np.where(rng.random(n) < _QUARTER_SHARE, 4, 2)
    drawn = (
        theta,
        brightness,
        contrast,
        np.where(rng.random(n) < recipe.grey_p, 0, saturation).astype(np.float32),
        hue - np.float32(1),
        (recipe.cast * rng.standard_normal((n, 3))).astype(np.float32),
        np.where(rng.random(n) < recipe.blur_p, blurred, 1),
        rng.uniform(0, recipe.noise, n).astype(np.float32),
        rng.integers(0, _NOISE_SIDE, (n, 2)),
        rng.random(n) < recipe.background_p,
        _rectangles(rng.random(n) < recipe.erasing_p, rng),
        np.where(rng.random(n) < recipe.mixstyle_p, _STYLE_SHARE, 0).astype(np.float32),
        _channel_scales(recipe, n, rng),
    )
    return Drawn(*(torch.from_numpy(values) for values in drawn))


class Augmenter(nn.Module):
    """Does to a batch what was drawn, and gives it the form in which the network's trunk takes it.

    Args:
        recipe: what it never asks for is left out.
        normalization: of the network.
        width_px: columns that the trunk sees; fewer than the input's side where that is aligned.
    """

    def __init__(self, recipe: Recipe, normalization: Normalization, width_px: int) -> None:
        super().__init__()
        self._recipe, self._normalization, self._width_px = recipe, normalization, width_px
        self._warps = recipe.aligned == "input" or any(
            (recipe.flip_p, recipe.turn_deg, recipe.half_turn_p, recipe.scale, recipe.shift)
        )
        # An aligned input is warped here as the network itself does it in evaluation.
        self._padding = recipe.padding if recipe.aligned == "input" else "zeros"
        # Buffers, because a captured step cannot fetch anything from the host.
        self.luma: Tensor
        self.rgb_to_yiq: Tensor
        self.yiq_to_rgb: Tensor
        self.sensor_noise: Tensor
        self.register_buffer("luma", _LUMA)
        self.register_buffer("rgb_to_yiq", _RGB_TO_YIQ)
        self.register_buffer("yiq_to_rgb", _YIQ_TO_RGB)
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("sensor_noise", torch.randn(3, _NOISE_SIDE, _NOISE_SIDE, generator=generator))

    @torch.no_grad()
    def forward(self, images: Tensor, drawn: Drawn, headings_rad: Tensor | None) -> Tensor:
        """Colours, loss of detail and noise, then alignment and augmentation in *one* warp, background, erasing.

        One warp, because each blurs, and evaluation warps once. What is erased is 0, the normalisation's mean, and so
        is what a turn brings in from outside, unless the alignment of the input has another padding.

        Args:
            images: (N, 3, S, S) uint8, or (N, 4, S, S) with the vehicle's mask, 255 where it is.
            drawn: of N images, on their device.
            headings_rad: (N,) of the vehicles in the images, where the input is aligned.

        Returns:
            (N, 3, S, W) float32, normalised, channels last.
        """
        recipe = self._recipe
        x = self._recoloured(images[:, :3].float() / 255, drawn)
        if recipe.blur_p:
            x = _coarsened(x, drawn.coarseness)
        if recipe.noise:
            x = x + drawn.noise[:, None, None, None] * self._noise_windows(drawn.noise_at, x.shape[-1])
        x = self._normalization(x)
        if recipe.background_p:
            x = torch.cat([x, images[:, 3:].float() / 255], dim=1)
        if self._warps:
            x = self._warped(x, drawn.theta, headings_rad)
        if recipe.background_p:
            x, vehicle = x[:, :3], x[:, 3:]
            mixed = vehicle * x + (1 - vehicle) * x.roll(-1, 0)
            x = torch.where(drawn.background[:, None, None, None], mixed, x)
        return x.masked_fill(_inside(drawn.erased, x.shape[2:]), 0).contiguous(memory_format=torch.channels_last)

    def _recoloured(self, images: Tensor, drawn: Drawn) -> Tensor:
        """Brightness, contrast around the mean luma, saturation, hue and cast, as one map of each image's colours.

        Each is linear in RGB and the hue and saturation leave greys as they are, so that together they are one 3 × 3
        matrix and an offset; values are clipped once, at the end.
        """
        brightness, contrast, saturation, hue = drawn.brightness, drawn.contrast, drawn.saturation, drawn.hue
        eye = torch.eye(3, device=images.device)
        angle = 2 * math.pi * hue
        turn = eye.repeat(len(hue), 1, 1)
        turn[:, 1, 1] = turn[:, 2, 2] = angle.cos()
        turn[:, 1, 2], turn[:, 2, 1] = -angle.sin(), angle.sin()
        turn_hue = self.yiq_to_rgb @ turn @ self.rgb_to_yiq
        saturate = saturation[:, None, None] * eye + (1 - saturation)[:, None, None] * self.luma.expand(3, 3)
        matrix = (contrast * brightness)[:, None, None] * (turn_hue @ saturate)
        grey = images.mean(dim=(2, 3)) @ self.luma
        offset = ((1 - contrast) * brightness * grey)[:, None] + drawn.cast
        return (torch.einsum("nij,njhw->nihw", matrix, images) + offset[:, :, None, None]).clamp(0, 1)

    def _warped(self, x: Tensor, theta: Tensor, headings_rad: Tensor | None) -> Tensor:
        """(N, C, S, S) -> (N, C, S, W): only the columns that the trunk sees are sampled."""
        if headings_rad is not None:
            # Output to aligned to input coordinates: the alignment turns, and does nothing else.
            theta = theta_of_turn(math.pi / 2 - headings_rad)[:, :, :2] @ theta
        left = (x.shape[3] - self._width_px) // 2
        with torch.autocast(x.device.type, enabled=False):
            grid = F.affine_grid(theta, list(x.shape), align_corners=ALIGN_CORNERS)[:, :, left : left + self._width_px]
            return F.grid_sample(x, grid, padding_mode=self._padding, align_corners=ALIGN_CORNERS)

    def _noise_windows(self, starts: Tensor, side: int) -> Tensor:
        """(N, 3, S, S): from where each starts, round the edge of the one noise picture that there is.

        A picture and not a generator: the same noise on every device, and in a captured step.
        """
        pixel = torch.arange(side, device=starts.device)
        rows, columns = (starts[:, None, :] + pixel[:, None]).remainder(_NOISE_SIDE).unbind(2)
        return self.sensor_noise[:, rows[:, :, None], columns[:, None, :]].transpose(0, 1)


def _coarsened(images: Tensor, coarseness: Tensor) -> Tensor:
    """Each image at its resolution: pixels averaged, and spread out again."""
    for side in (2, 4):
        coarse = F.interpolate(F.avg_pool2d(images, side), scale_factor=side, mode="bilinear", align_corners=False)
        images = torch.where((coarseness == side)[:, None, None, None], coarse, images)
    return images


def _inside(rectangles: Tensor, shape: torch.Size) -> Tensor:
    """(N, 1, H, W) bool: whether a pixel's centre lies in its image's rectangle."""
    y, x = ((torch.arange(side, device=rectangles.device) + 0.5) / side for side in shape)
    across = (x >= rectangles[:, 0:1]) & (x < rectangles[:, 2:3])
    down = (y >= rectangles[:, 1:2]) & (y < rectangles[:, 3:4])
    return (down[:, :, None] & across[:, None, :])[:, None]


def _similarities(recipe: Recipe, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Flips, turns, scales and shifts: the flip happens last, to what is seen."""
    flip = np.where(rng.random(n) < recipe.flip_p, -1, 1)
    turn = np.deg2rad(rng.uniform(-recipe.turn_deg, recipe.turn_deg, n))
    turn += np.pi * (rng.random(n) < recipe.half_turn_p)
    scale = rng.uniform(1 - recipe.scale, 1 + recipe.scale, n)
    x, y = rng.uniform(-2 * recipe.shift, 2 * recipe.shift, (2, n))  # the side is 2 long
    a, b = np.cos(turn) / scale, np.sin(turn) / scale
    return np.stack([flip * a, -b, x, flip * b, a, y], axis=1).reshape(n, 2, 3).astype(np.float32)


def _channel_scales(recipe: Recipe, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Inverted dropout: on average each channel is as strong as without."""
    num_channels = recipe.network_config().trunk_width if recipe.channel_drop else 0
    kept = rng.random((n, num_channels)) >= recipe.channel_drop
    return (kept / (1 - recipe.channel_drop)).astype(np.float32)


def _rectangles(chosen: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
    n = len(chosen)
    share = rng.uniform(*_ERASED_SHARE, n)
    aspect = np.exp(rng.uniform(math.log(_ERASED_ASPECT[0]), math.log(_ERASED_ASPECT[1]), n))
    width, height = np.minimum(np.sqrt(share / aspect), 1), np.minimum(np.sqrt(share * aspect), 1)
    left, top = rng.random(n) * (1 - width), rng.random(n) * (1 - height)
    rectangles = np.stack([left, top, left + width, top + height], axis=1)
    return np.where(chosen[:, None], rectangles, 0).astype(np.float32)
