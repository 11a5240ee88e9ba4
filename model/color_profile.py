"""Embedded ICC colour profiles: the picture as a viewer shows it, in sRGB."""

import io
import itertools
import logging
from functools import lru_cache
from typing import Final

import numpy as np
from PIL import Image, ImageCms

MAX_PROFILE_BYTES: Final = 8 * 2**20
"""A larger profile is ignored; the largest real ones have about 4 MB."""

_LOG = logging.getLogger(__name__)

# Which colour space a profile must have to describe an image of this mode.
_SPACE_OF_MODE: Final = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
_LEVELS: Final = (0, 16, 48, 80, 112, 144, 176, 208, 240, 255)  # of each channel of the grid
_SRGB: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def to_srgb(image: Image.Image, icc_profile: bytes) -> Image.Image:
    """An image of mode L, RGB or CMYK in sRGB, by its embedded profile; the intent is perceptual, as viewers have it.

    A profile that is sRGB within one level changes nothing, and one that cannot be read or belongs to another kind of
    image is ignored, as viewers do. The image itself may be changed.
    """
    if not 0 < len(icc_profile) <= MAX_PROFILE_BYTES:
        return image
    transform = _transform(icc_profile, image.mode)
    if transform is None:
        return image
    if image.mode == "RGB":
        ImageCms.applyTransform(image, transform, inPlace=True)
        return image
    return ImageCms.applyTransform(image, transform) or image


# The frames of one camera share a profile. A transform may be used by several threads at once, without its cache.
@lru_cache(maxsize=8)
def _transform(icc_profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """None if the profile changes nothing or cannot be used."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
        if profile.profile.xcolor_space.strip() != _SPACE_OF_MODE[mode]:
            _LOG.debug("a profile for %s of an image in %s is ignored", profile.profile.xcolor_space, mode)
            return None
        flags = ImageCms.Flags.NOCACHE
        if mode == "L":  # LittleCMS tabulates a grey curve, and its usual 33 points are too few for a linear one
            flags |= ImageCms.Flags.GRIDPOINTS(255)
        transform = ImageCms.buildTransform(profile, _SRGB, mode, "RGB", flags=flags)
        return None if _is_identity(transform, mode) else transform
    except Exception as error:  # whatever LittleCMS makes of broken bytes: the pixels are good
        _LOG.debug("unreadable ICC profile: %s", error)
        return None


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether it changes no colour of a small grid by more than one level."""
    if mode == "CMYK":
        return False
    grid = list(itertools.product(_LEVELS, repeat=len(mode)))
    colors = Image.fromarray(np.array(grid, np.uint8).reshape(len(grid), 1, -1).squeeze(2 if mode == "L" else ()))
    after = ImageCms.applyTransform(colors, transform)
    difference = np.abs(np.asarray(after, np.int16) - np.asarray(colors.convert("RGB"), np.int16))
    return bool(difference.max() <= 1)
