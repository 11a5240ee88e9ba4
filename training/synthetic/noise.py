"""Smooth random pictures, for dirt, grounds, clouds and foliage."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def smooth_noise(
    random: np.random.Generator, size: tuple[int, int], coarse: float, octaves: int = 3, fade: float = 0.5
) -> NDArray[np.float32]:
    """Noise of about zero mean and unit spread.

    Args:
        random: what draws it.
        size: rows and columns.
        coarse: how many blobs lie along a row of the coarsest octave; each further octave doubles them.
        octaves: how many are summed.
        fade: the amplitude of each octave, of the one before.
    """
    total = np.zeros(size, np.float32)
    power = 0.0
    for octave in range(octaves):
        columns = max(2, min(size[1], round(coarse * 2**octave)))
        rows = max(2, min(size[0], round(columns * size[0] / size[1])))
        small = random.standard_normal((rows, columns), np.float32)
        amplitude = fade**octave
        total += amplitude * np.asarray(Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC))
        power += amplitude**2
    return total / np.float32(np.sqrt(power) * 0.7)
