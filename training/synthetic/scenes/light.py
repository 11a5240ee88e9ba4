"""Sun and sky: where light comes from, and what paint and glass mirror."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.synthetic.noise import smooth_noise

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Light:
    """The light over a scene; strengths and colours are linear.

    Attributes:
        sun: (3,) unit vector towards it.
        sun_colour: (3,) irradiance on a surface that faces it.
        zenith, horizon: (3,) the sky's colours.
        clouds: (128, 128) how white the sky is, over its disc seen from below.
        skyline: (90,) how high trees and houses reach around, as the sine of their elevation, every 4 degrees.
        softness: of the shadows' edges, metres for each metre of height.
        gloss: how strongly paint and glass mirror, of what is usual.
    """

    sun: Image
    sun_colour: Image
    zenith: Image
    horizon: Image
    clouds: Image
    skyline: Image
    softness: float
    gloss: float = 1.0

    def mirrored(self, direction: Image) -> Image:
        """(..., 3) the sky's or the surroundings' colour in these directions."""
        z = direction[..., 2:3]
        height = z.clip(0, 1)
        sky = self.horizon + (np.float32(0.6) * self.zenith - self.horizon) * np.sqrt(height)
        last = np.float32(self.clouds.shape[0] - 1)
        columns = ((direction[..., 0] * 0.5 + 0.5) * last).astype(np.int32)
        rows = ((direction[..., 1] * 0.5 + 0.5) * last).astype(np.int32)
        cloud = self.clouds[rows.clip(0, 127), columns.clip(0, 127)][..., None]
        sky = sky + (np.float32(1.25) * self.horizon - sky) * cloud
        around = np.arctan2(direction[..., 1], direction[..., 0])
        edge = self.skyline[((around + np.pi) * (90 / (2 * np.pi))).astype(np.int32) % 90][..., None]
        below = ((edge - z) * 12 + 0.5).clip(0, 1)
        seen: Image = sky + (np.float32(0.25) * self.horizon - sky) * below
        return seen


def draw_light(random: np.random.Generator) -> Light:
    """A weather and a time of day."""
    elevation = np.deg2rad(random.uniform(18, 72))
    azimuth = random.uniform(0, 2 * np.pi)
    sun = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    cover = random.choice([random.uniform(0, 0.3), random.uniform(0.3, 0.9), 1.0], p=[0.55, 0.25, 0.2])
    warm = np.array([1.0, 0.95 - 0.12 * (1 - np.sin(elevation)), 0.9 - 0.3 * (1 - np.sin(elevation))])
    strength = 3.0 * (1 - cover) ** 1.2 * (0.55 + 0.45 * np.sin(elevation))
    blue = np.array([0.4, 0.48, 0.62]) * random.uniform(0.7, 1.1)
    grey = np.array([0.78, 0.8, 0.83]) * random.uniform(0.7, 1.1)
    zenith = blue + (grey - blue) * cover
    horizon = np.array([0.84, 0.87, 0.92]) * random.uniform(0.8, 1.1)
    noise = smooth_noise(random, (128, 128), 2, 2)
    clouds = ((noise - random.uniform(0.2, 1.5) + 1.5 * cover) * 0.8).clip(0, 1)
    skyline = (0.12 + 0.22 * smooth_noise(random, (2, 90), 14, 3)[0] + random.uniform(-0.1, 0.2)).clip(0.02, 0.75)
    # The camera's white balance has seen the whole frame: what lies flat under this light looks almost grey.
    flat = strength * warm * sun[2] + 0.6 * zenith + 0.4 * horizon
    balance = (flat.mean() / flat) ** random.uniform(0.75, 1.05)
    return Light(
        sun.astype(np.float32),
        (strength * warm * balance).astype(np.float32),
        (zenith * balance).astype(np.float32),
        (horizon * balance).astype(np.float32),
        clouds.astype(np.float32),
        skyline.astype(np.float32),
        float(0.02 + 0.25 * cover**2),
    )


def draw_varied_light(random: np.random.Generator) -> Light:
    """Edition 2's: bluer skies, clouds and treetops with more detail, paint and glass that mirror more or less.

    So each view of a vehicle has other reflections: a bright pane in one is a dark one in the next.
    """
    light = draw_light(random)
    blue = 1 + random.uniform(0, 0.3) * np.array([-0.5, 0.0, 0.6])
    detail = 1 + random.uniform(0, 0.8) * smooth_noise(random, (128, 128), 12, 3)
    shade = random.uniform(0, 0.5) * (smooth_noise(random, (128, 128), 4, 3) > random.uniform(0.3, 1.5))
    return replace(
        light,
        zenith=(light.zenith * blue).astype(np.float32),
        # Below 0 it is darker than the sky: treetops; further below, it would be no light.
        clouds=(light.clouds * detail - shade).clip(-0.15, 1).astype(np.float32),
        gloss=float(np.exp(np.clip(random.normal(0.05, 0.35), -0.7, 0.6))),
    )
