"""Flips, turns, colour jitter and random erasing, a batch at once on the device that trains.

What happens to an image is drawn beforehand from a generator of the caller's, so that it depends neither on threads nor
on how a batch is spread over processes.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.alignment import warp
from training.recipe import Recipe

# Rec. 601 luma, and the two chroma axes: the hue turns around the grey axis (Haeberli 1993).
_LUMA = torch.tensor([0.299, 0.587, 0.114])
_RGB_TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_YIQ_TO_RGB = torch.linalg.inv(_RGB_TO_YIQ)
# Random erasing as published (Zhong et al. 2020): share of the image's area, and the side ratio.
_ERASED_SHARE = (0.02, 0.4)
_ERASED_ASPECT = (0.3, 1 / 0.3)


class Augmentation(NamedTuple):
    """What happens to each of N images.

    Attributes:
        flip: (N,) bool.
        theta: (N, 2, 3) the turn, scale and shift, output to input coordinates; the identity for none.
        brightness, contrast, saturation: (N,) factors, 1 for none.
        hue: (N,) in turns, 0 for none.
        erased: (N, 4) left, top, right, bottom in shares of the side; an empty rectangle for none.
    """

    flip: NDArray[np.bool_]
    theta: NDArray[np.float32]
    brightness: NDArray[np.float32]
    contrast: NDArray[np.float32]
    saturation: NDArray[np.float32]
    hue: NDArray[np.float32]
    erased: NDArray[np.float32]

    def part(self, chosen: slice) -> "Augmentation":
        """What happens to some of the images."""
        return Augmentation(*(values[chosen] for values in self))  # type: ignore[arg-type]


def draw_augmentation(recipe: Recipe, num_images: int, rng: np.random.Generator) -> Augmentation:
    """Draws what happens to the images of a batch."""
    n = num_images
    jittered = rng.random(n) < recipe.jitter_p

    def factor(spread: float) -> NDArray[np.float32]:
        return np.where(jittered, rng.uniform(1 - spread, 1 + spread, n), 1).astype(np.float32)

    return Augmentation(
        flip=rng.random(n) < recipe.flip_p,
        theta=_similarities(recipe, n, rng),
        brightness=factor(recipe.brightness),
        contrast=factor(recipe.contrast),
        saturation=factor(recipe.saturation),
        hue=factor(recipe.hue) - np.float32(1),
        erased=_rectangles(rng.random(n) < recipe.erasing_p, rng),
    )


def augment(images: Tensor, augmentation: Augmentation, fill: Tensor) -> Tensor:
    """Applies it: flip, turn, colours, erasing, in this order.

    Args:
        images: (N, 3, S, S) uint8.
        augmentation: of N images.
        fill: (3,) in 0..1, the colour of what is erased and of what a turn brings in from outside; the normalisation's
            mean, which the network sees as 0.

    Returns:
        (N, 3, S, S) float32 in 0..1, channels last.
    """
    device = images.device
    # Asked of the CPU's copy: a GPU would have to be waited for.
    flips, turns = bool(augmentation.flip.any()), bool((augmentation.theta != np.eye(2, 3)).any())
    flip, theta, *colours, erased = (torch.from_numpy(values).to(device, non_blocking=True) for values in augmentation)
    images = images.float() / 255
    if flips:
        images = torch.where(flip[:, None, None, None], images.flip(3), images)
    fill = fill.to(device, non_blocking=True).view(1, 3, 1, 1)
    if turns:
        images = warp(images - fill, theta, "zeros") + fill
    images = _recolour(images, *colours)
    x = (torch.arange(images.shape[3], device=device) + 0.5) / images.shape[3]
    inside = (x >= erased[:, 0:1]) & (x < erased[:, 2:3])
    below = (x >= erased[:, 1:2]) & (x < erased[:, 3:4])
    erase = (below[:, :, None] & inside[:, None, :])[:, None]
    return torch.where(erase, fill, images)


def _recolour(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor, hue: Tensor) -> Tensor:
    """Brightness, contrast around the mean luma, saturation and hue, as one linear map of each image's colours.

    Each is linear in RGB and the last two leave greys as they are, so that together they are one 3 × 3 matrix and a
    grey offset; values are clipped once, at the end.
    """
    luma = _LUMA.to(images.device, non_blocking=True)
    eye = torch.eye(3, device=images.device)
    angle = 2 * math.pi * hue
    turn = eye.repeat(len(hue), 1, 1)
    turn[:, 1, 1] = turn[:, 2, 2] = angle.cos()
    turn[:, 1, 2], turn[:, 2, 1] = -angle.sin(), angle.sin()
    to_yiq, to_rgb = (m.to(images.device, non_blocking=True) for m in (_RGB_TO_YIQ, _YIQ_TO_RGB))
    turn_hue = to_rgb @ turn @ to_yiq
    saturate = saturation[:, None, None] * eye + (1 - saturation)[:, None, None] * luma.expand(3, 3)
    matrix = (contrast * brightness)[:, None, None] * (turn_hue @ saturate)
    grey = images.mean(dim=(2, 3)) @ luma
    offset = (1 - contrast) * brightness * grey
    recoloured = torch.einsum("nij,njhw->nihw", matrix, images) + offset[:, None, None, None]
    return recoloured.clamp(0, 1).contiguous(memory_format=torch.channels_last)


def _similarities(recipe: Recipe, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    if not (recipe.turn_deg or recipe.scale or recipe.shift):
        return np.tile(np.eye(2, 3, dtype=np.float32), (n, 1, 1))
    turn = np.deg2rad(rng.uniform(-recipe.turn_deg, recipe.turn_deg, n))
    scale = rng.uniform(1 - recipe.scale, 1 + recipe.scale, n)
    x, y = rng.uniform(-2 * recipe.shift, 2 * recipe.shift, (2, n))  # the side is 2 long
    a, b = np.cos(turn) / scale, np.sin(turn) / scale
    return np.stack([a, -b, x, b, a, y], axis=1).reshape(n, 2, 3).astype(np.float32)


def _rectangles(chosen: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
    n = len(chosen)
    share = rng.uniform(*_ERASED_SHARE, n)
    aspect = np.exp(rng.uniform(math.log(_ERASED_ASPECT[0]), math.log(_ERASED_ASPECT[1]), n))
    width, height = np.minimum(np.sqrt(share / aspect), 1), np.minimum(np.sqrt(share * aspect), 1)
    left, top = rng.random(n) * (1 - width), rng.random(n) * (1 - height)
    rectangles = np.stack([left, top, left + width, top + height], axis=1)
    return np.where(chosen[:, None], rectangles, 0).astype(np.float32)
