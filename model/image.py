"""From the bytes of an image file to upright RGB pixels: one decoder for trainer, evaluator and service."""

import io
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from model.box import MIN_SIDE_PX

_LOG = logging.getLogger(__name__)

FORMATS: Final = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
"""The formats that are read, with their media types; nothing else reaches a decoder."""

# A JPEG that brings further pictures along, such as a preview or a depth map, as many cameras write it. Pillow opens
# it as JPEG and then calls it so; its first picture counts.
_MULTI_PICTURE_JPEG: Final = "MPO"

MAX_PIXELS: Final = 100_000_000
"""Largest image, judged by its header before its pixels are allocated (300 MB of RGB); a 4K frame has 8 million."""


# Pillow's own alarm, so that it agrees with ours: it warns above this, and raises above twice as much.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS


class ImageError(ValueError):
    """Bytes that are no image we read; the message says what came and what to send instead."""


class DecodedImage(NamedTuple):
    """Pixels (H, W, 3) uint8 RGB, upright and read-only, and the media type of the file they came from."""

    pixels: NDArray[np.uint8]
    media_type: str


class _PixelBudget:
    """Lets only so many pixels be decoded at the same time, by all threads together: 10 bytes of memory each."""

    def __init__(self, pixels: int) -> None:
        self._free = pixels
        self._changed = threading.Condition()

    @contextmanager
    def of(self, pixels: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()


_DECODING: Final = _PixelBudget(2 * MAX_PIXELS)


def decode_image(data: bytes) -> DecodedImage:
    """Decodes a JPEG, PNG or WebP file.

    CMYK, palette, grey and 16-bit images become the RGB image that a viewer shows; alpha is dropped, and the colours
    below it count. The EXIF orientation is applied.

    Raises:
        ImageError: empty, not one of `FORMATS`, animated, too large or too small, or its pixels are damaged.
    """
    if not data:
        raise ImageError("the file is empty: send a JPEG, PNG or WebP image")
    try:
        with Image.open(io.BytesIO(data), formats=list(FORMATS)) as image:
            _check_header(image)
            media_type = FORMATS["JPEG" if image.format == _MULTI_PICTURE_JPEG else str(image.format)]
            with _DECODING.of(image.width * image.height):
                image.load()
                pixels = np.asarray(_to_rgb(_upright(image)))
    except UnidentifiedImageError:
        raise ImageError("the file is not a JPEG, PNG or WebP image") from None
    except Image.DecompressionBombError:
        raise ImageError(f"the image has more than {MAX_PIXELS:,} pixels: send a smaller one or cut it") from None
    except (ImageError, MemoryError):
        raise
    # Pillow's decoders raise whatever the broken byte leads to (OSError, SyntaxError, struct.error, ...).
    except Exception as error:
        raise ImageError(f"the image is damaged and cannot be decoded ({error}): send it again") from error
    return DecodedImage(pixels, media_type)


def read_image(path: Path) -> NDArray[np.uint8]:
    """The pixels (H, W, 3) of an image file.

    Raises:
        ImageError: as `decode_image`, with the path.
        OSError: the file cannot be read.
    """
    try:
        return decode_image(path.read_bytes()).pixels
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def encode_image(pixels: NDArray[np.uint8], image_format: str) -> bytes:
    """Pixels (H, W, 3) as the bytes of a ``"PNG"`` (lossless) or ``"JPEG"`` (quality 90) file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format, quality=90)
    return buffer.getvalue()


def _check_header(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"the image is {width} x {height}, more than {MAX_PIXELS:,} pixels: send a smaller one or cut it"
        )
    if min(width, height) < MIN_SIDE_PX:
        raise ImageError(f"the image is {width} x {height}: a vehicle needs {MIN_SIDE_PX} pixels a side at least")
    if image.format != _MULTI_PICTURE_JPEG and getattr(image, "n_frames", 1) > 1:
        raise ImageError("the image is animated: send one still frame")


def _upright(image: Image.Image) -> Image.Image:
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception as error:  # EXIF that cannot be read turns nothing; the pixels are good
        _LOG.debug("unreadable EXIF: %s", error)
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16-bit grey; Pillow's own conversion clips at 255 instead of scaling.
        grey = np.asarray(image).astype(np.uint32)
        image = Image.fromarray((grey >> 8).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")
