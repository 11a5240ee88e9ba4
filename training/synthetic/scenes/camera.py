"""Edition 2's cameras: a few dozen makes, each with its tone, colours, sharpness and noise, and what a flight adds."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pictures
from scipy.ndimage import gaussian_filter, shift

from training.synthetic.scenes.light import Light

Image = NDArray[np.float32]
_NUM_MAKES: Final = 60


@dataclass(frozen=True)
class Make:
    """What all pictures of one camera share.

    Attributes:
        balance: (3,) factors of red, green, blue that its white balance leaves.
        gamma: of its tone curve; shoulder: how softly highlights roll off; contrast: about the middle grey.
        saturation: 1 is the scene's.
        blur_px: standard deviation of its lens and sensor.
        halo: strength of its sharpening; halo_px: its reach.
        noise, chroma_noise: standard deviations in grey levels.
    """

    balance: Image
    gamma: float
    shoulder: float
    contrast: float
    saturation: float
    blur_px: float
    halo: float
    halo_px: float
    noise: float
    chroma_noise: float


def draw_make(number: int) -> Make:
    """The make of this number: everybody's, whatever the data set's seed."""
    random = np.random.default_rng([number, 2])
    warmth, tint = random.normal(-0.05, 0.06), random.normal(0, 0.025)
    return Make(
        balance=np.exp([warmth, tint, -warmth]).astype(np.float32),
        gamma=random.uniform(1.9, 2.6),
        shoulder=random.uniform(0.1, 0.9),
        contrast=random.uniform(0.8, 1.25),
        saturation=random.uniform(0.5, 1.1),
        blur_px=float(np.exp(random.uniform(np.log(0.35), np.log(1.1)))),
        halo=random.choice([0.0, random.uniform(0.2, 1.0)], p=[0.4, 0.6]),
        halo_px=random.uniform(0.8, 1.8),
        noise=random.gamma(1.3, 0.9),
        chroma_noise=random.gamma(1.2, 0.8),
    )


def photograph(linear: Image, light: Light, random: np.random.Generator) -> Image:
    """Turns light into what a drone's camera stores.

    Args:
        linear: (H, W, 3) light, at the picture's final size.
        light: of the scene; haze has the colour of its horizon.
        random: draws the camera and the moment.

    Returns:
        (H, W, 3) sRGB in 0..255, not rounded.
    """
    make = draw_make(int(random.integers(_NUM_MAKES)))
    bright = float(np.percentile(linear.mean(2), 70))
    exposure = np.exp(random.normal(-1.05, 0.3)) / max(bright, 0.05) * (0.55 + 0.45 * min(bright, 1.5))
    balance = make.balance * np.exp(random.normal(0, 0.02, 3)).astype(np.float32)
    haze = np.float32(random.choice([0.0, random.uniform(0, 0.15)], p=[0.7, 0.3]))
    hazy = linear + haze * (light.horizon * np.float32(max(bright, 0.05)) - linear)
    exposed = _blurred(hazy, make, random) * (np.float32(exposure) * balance)
    exposed = exposed * (1 + make.shoulder) / (1 + np.float32(make.shoulder) * exposed)
    image = 255 * exposed.clip(0, 1) ** np.float32(1 / make.gamma)
    grey = image.mean(2, keepdims=True)
    image = grey + (image - grey) * np.float32(make.saturation * random.uniform(0.8, 1.15))
    middle = np.float32(random.uniform(95, 125))
    image = middle + (image - middle) * np.float32(make.contrast * random.uniform(0.9, 1.1))
    if make.halo:
        image = image + np.float32(make.halo) * (image - gaussian_filter(image, (make.halo_px, make.halo_px, 0)))
    return _noisy(image, make, random).clip(0, 255)


def _blurred(light: Image, make: Make, random: np.random.Generator) -> Image:
    """The lens, a focus that is missed, the drone's motion, and a sensor coarser than the picture."""
    sigma = make.blur_px
    if random.random() < 0.2:
        sigma += random.uniform(0.2, 1.1)
    light = gaussian_filter(light, (sigma, sigma, 0), mode="nearest")
    if random.random() < 0.12:
        path = random.uniform(0.5, 2.5) * np.array([np.sin(turn := random.uniform(0, np.pi)), np.cos(turn)])
        steps = [shift(light, (*(path * along), 0), order=1, mode="nearest") for along in (-0.5, -0.25, 0, 0.25, 0.5)]
        light = np.mean(steps, axis=0, dtype=np.float32)
    if random.random() < 0.22:
        rows, columns = light.shape[:2]
        coarser = random.uniform(1.2, 2.0)
        size = (max(8, round(columns / coarser)), max(8, round(rows / coarser)))
        light = _resized(_resized(light, size, Pictures.Resampling.BOX), (columns, rows), Pictures.Resampling.BICUBIC)
    return light.clip(0)


def _resized(picture: Image, size: tuple[int, int], how: Pictures.Resampling) -> Image:
    channels = [Pictures.fromarray(picture[..., c].astype(np.float32)).resize(size, how) for c in range(3)]
    return np.stack([np.asarray(channel, np.float32) for channel in channels], -1)


def _noisy(image: Image, make: Make, random: np.random.Generator) -> Image:
    """Grain in the brightness, blotches of two pixels in the colours."""
    rows, columns = image.shape[:2]
    grain = np.float32(make.noise) * random.standard_normal((rows, columns, 1), np.float32)
    coarse = random.standard_normal((rows // 2 + 1, columns // 2 + 1, 3), np.float32)
    blotches = coarse.repeat(2, 0).repeat(2, 1)[:rows, :columns]
    noisy: Image = image + grain + np.float32(make.chroma_noise) * (blotches - blotches.mean(2, keepdims=True))
    return noisy
