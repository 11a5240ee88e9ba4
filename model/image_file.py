"""An image file taken apart: the picture, and apart from it what the file says about the picture."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class ImageError(ValueError):
    """Bytes that are no image we read; the message says what came and what to send instead."""


class DamagedError(ImageError):
    """The pixels of a file are not whole; the message says only what is wrong with them."""


@dataclass(frozen=True)
class ImageFile:
    """A file whose header is read and whose pixels are not decoded yet.

    Attributes:
        width: columns of the stored picture, in pixels.
        height: its rows.
        decode: gives the stored picture, in any of Pillow's modes but floating point, or as RGB (H, W, 3); raises
            whatever its decoder does.
        exif: the EXIF block, a TIFF header and its directories; empty if there is none.
        icc_profile: the embedded colour profile; empty if there is none.
        turns: whether the EXIF orientation applies; not where the reader already turned what it read.
        bytes_per_pixel: how much memory the decoder and the steps after it take at most, per pixel.
    """

    width: int
    height: int
    decode: Callable[[], Image.Image | NDArray[np.uint8]]
    exif: bytes = b""
    icc_profile: bytes = b""
    turns: bool = True
    bytes_per_pixel: int = 12
