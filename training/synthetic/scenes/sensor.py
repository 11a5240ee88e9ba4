"""The camera: exposure, tone, white balance, blur, sharpening, noise."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter1d

from training.synthetic.noise import smooth_noise

Image = NDArray[np.float32]


def expose(linear: Image, random: np.random.Generator) -> Image:
    """Turns light into what a drone's camera stores.

    Args:
        linear: (H, W, 3) light, at the picture's final size.
        random: draws the camera's habits.

    Returns:
        (H, W, 3) sRGB in 0..255, not rounded.
    """
    bright = float(np.percentile(linear.mean(2), 70))
    exposure = np.exp(random.normal(-0.92, 0.3)) / max(bright, 0.05) * (0.55 + 0.45 * min(bright, 1.5))
    warmth = random.normal(-0.06, 0.05)
    balance = np.exp(random.normal(0, 0.015, 3) + np.array([warmth, 0, -warmth]))
    light = linear * (exposure * balance).astype(np.float32)
    # A shoulder: highlights roll off, as every camera's tone curve does.
    shoulder = np.float32(random.uniform(0.0, 0.35))
    light = light * (1 + shoulder) / (1 + shoulder * light)
    light = light + np.float32(abs(random.normal(0, 0.003)))  # haze
    image = 255 * light.clip(0, 1) ** np.float32(1 / random.uniform(2.0, 2.5))
    grey = image.mean(2, keepdims=True)
    image = grey + (image - grey) * np.float32(random.uniform(0.45, 0.95))
    middle = np.float32(random.uniform(95, 125))
    image = (middle + (image - middle) * np.float32(random.uniform(0.95, 1.35))).clip(0, 255)
    image = _focus(image, random)
    noise = random.gamma(1.3, 0.7)
    image = image + noise * random.standard_normal(image.shape[:2], np.float32)[..., None]
    blotch = smooth_noise(random, image.shape[:2], max(2, image.shape[1] / 4), 1)[..., None]
    image = image + np.float32(noise * 0.3) * blotch * random.standard_normal(3, np.float32)
    clipped: Image = np.clip(image, 0, 255)
    return clipped


def _focus(image: Image, random: np.random.Generator) -> Image:
    """The lens, the drone's motion, and the sharpening that cameras add."""
    sigma = random.uniform(0.4, 0.9) if random.random() < 0.88 else random.uniform(0.9, 1.5)
    image = gaussian_filter(image, (sigma, sigma, 0), mode="nearest")
    if random.random() < 0.12:
        image = uniform_filter1d(image, int(random.integers(2, 5)), axis=int(random.integers(2)), mode="nearest")
    if random.random() < 0.5:
        strength = np.float32(random.uniform(0.2, 0.8))
        image = image + strength * (image - gaussian_filter(image, (1.4, 1.4, 0), mode="nearest"))
    return image
