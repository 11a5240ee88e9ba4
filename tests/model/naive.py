"""Oracles: resampling and pooling as one would write them down, one pixel after the other."""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def warp(image: Array, theta: Array, padding: str) -> Array:
    """Bilinear resampling of (C, H, W): -1 and 1 are the outer edges of the border pixels."""
    _, height, width = image.shape
    warped = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            target = ((2 * column + 1) / width - 1, (2 * row + 1) / height - 1, 1.0)
            x, y = theta @ np.array(target)
            warped[:, row, column] = _sample(image, ((x + 1) * width - 1) / 2, ((y + 1) * height - 1) / 2, padding)
    return warped


def _sample(image: Array, x: float, y: float, padding: str) -> Array:
    height, width = image.shape[1:]
    if padding == "reflection":
        x, y = _reflect(x, width), _reflect(y, height)
    if padding != "zeros":
        x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    value = np.zeros(len(image))
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < height and 0 <= column < width:
                value += image[:, row, column] * (1 - abs(x - column)) * (1 - abs(y - row))
    return value


def _reflect(position: float, size: int) -> float:
    """Mirrored at the outer edges -0.5 and size - 0.5, as often as it takes."""
    while not -0.5 <= position <= size - 0.5:
        position = -1 - position if position < -0.5 else 2 * size - 1 - position
    return position


def pool_parts(feature_map: Array, num_parts: int, axis: int) -> list[Array]:
    """The means (C,) of M bands of (C, H, W): rows (axis 1) or columns (axis 2) floor(i H/M) to ceil((i+1) H/M)."""
    size = feature_map.shape[axis]
    means = []
    for part in range(num_parts):
        lines = range(math.floor(part * size / num_parts), math.ceil((part + 1) * size / num_parts))
        means.append(np.mean([feature_map.take(line, axis).mean(axis=1) for line in lines], axis=0))
    return means
