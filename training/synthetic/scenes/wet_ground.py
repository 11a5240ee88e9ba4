"""Rain that has just stopped: the ground is darker, and mirrors a little of the sky, in puddles more than elsewhere."""

import numpy as np
from numpy.typing import NDArray

from training.synthetic.noise import smooth_noise
from training.synthetic.scenes.light import Light

Image = NDArray[np.float32]


def wet(
    dry: Image, points: Image, hidden: Image, eye: NDArray[np.floating], light: Light, wetness: float,
    random: np.random.Generator,
) -> Image:  # fmt: skip
    """The light that wet ground sends to the camera.

    Args:
        dry: (N, 3) light from the ground if it were dry.
        points: (N, 2) metres.
        hidden: (N, 1) how much of the sky vehicles hide there, 0..1.
        eye: (3,) the camera.
        light: its sky is what puddles mirror.
        wetness: 0 is dry, 1 drenched.
        random: draws the puddles.
    """
    puddles = smooth_noise(random, (64, 64), 4, 4)
    columns, rows = ((points * np.float32(3)).astype(np.int32) % 64).T
    depth = (np.float32(0.5) + np.float32(0.35) * puddles[rows, columns]).clip(0, 1)[:, None] * np.float32(wetness)
    view = np.concatenate([points - eye[:2], np.broadcast_to(-eye[2], (len(points), 1))], 1)
    view = (view / np.linalg.norm(view, axis=1, keepdims=True)).astype(np.float32)
    mirror = view * np.array([1, 1, -1], np.float32)
    fresnel = np.float32(0.03) + np.float32(0.97) * (1 - mirror[:, 2:3]) ** 5
    shining: Image = dry * (1 - np.float32(0.5) * depth) + depth * fresnel * light.mirrored(mirror) * (1 - hidden)
    return shining
