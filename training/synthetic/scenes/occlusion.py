"""What hangs between the drone and the vehicle: foliage, a lamp post, wires."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.synthetic.noise import smooth_noise
from training.synthetic.scenes.light import Light


def occlude(
    picture: NDArray[np.float32], light: Light, random: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.floating]]:
    """Lays something over a picture of linear light, (H, W, 3).

    Returns:
        The picture, and how much of each pixel is covered, (H, W) in 0..1.
    """
    rows, columns = picture.shape[:2]
    form = ("foliage", "foliage", "post", "wires")[random.integers(4)]
    bright = light.sun_colour * 0.5 + light.zenith * 0.6
    if form == "foliage":
        down, across = np.mgrid[0:rows, 0:columns].astype(np.float32)
        angle = random.uniform(0, 2 * np.pi)
        ramp = (across / columns - 0.5) * np.cos(angle) + (down / rows - 0.5) * np.sin(angle)
        leaves = smooth_noise(random, (rows, columns), 4, 5, 0.75)
        cover = ((ramp * 6 - random.uniform(1.3, 2.6) + 0.8 * leaves) * 4).clip(0, 1)[..., None]
        green = np.array([0.04, 0.06, 0.026]) * random.uniform(0.5, 1.6) * np.array([random.uniform(0.7, 1.8), 1, 1])
        texture = (1 + 0.55 * smooth_noise(random, (rows, columns), max(4, columns / 8), 3, 0.8)).clip(0.1, 3)[
            ..., None
        ]
        covered: NDArray[np.float32] = (picture * (1 - cover) + cover * texture * (green * bright)).astype(np.float32)
        return covered, cover[..., 0]
    mask = Image.new("L", (columns, rows), 0)
    draw = ImageDraw.Draw(mask)
    ends = random.uniform(-0.2, 1.2, 2)
    upright = random.random() < 0.5
    for _ in range(1 if form == "post" else int(random.integers(1, 5))):
        start, end = ends + random.normal(0, 0.12, 2)
        line = [(start * columns, 0), (end * columns, rows)] if upright else [(0, start * rows), (columns, end * rows)]
        draw.line(line, fill=255, width=max(1, round(max(rows, columns) * (0.04 if form == "post" else 0.008))))
    cover = np.asarray(mask, np.float32)[..., None] / 255
    crossed: NDArray[np.float32] = (picture * (1 - cover) + cover * random.uniform(0.05, 0.4) * bright).astype(
        np.float32
    )
    return crossed, cover[..., 0]
