"""From the bytes of an image file to upright sRGB pixels: one decoder for trainer, evaluator and service."""

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from model.box import MIN_SIDE_PX
from model.color_profile import to_srgb
from model.exif import Exif, parse_exif
from model.file_type import ACCEPTED, identify
from model.heif_file import open_avif, open_heic
from model.image_file import DamagedError, ImageError, ImageFile
from model.jpeg_file import open_jpeg
from model.png_file import open_png
from model.tiff_file import open_tiff
from model.webp_file import open_webp

__all__ = [
    "ACCEPTED",
    "BROWSER_MEDIA_TYPES",
    "FORMATS",
    "MAX_PIXELS",
    "DecodedImage",
    "Exif",
    "ImageError",
    "decode_image",
    "encode_image",
    "read_image",
]

FORMATS: Final = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "HEIC": "image/heic",
    "AVIF": "image/avif",
}
"""The formats that are read, with their media types; nothing else reaches a decoder."""

BROWSER_MEDIA_TYPES: Final = frozenset({"image/jpeg", "image/png", "image/webp", "image/avif"})
"""The media types that every browser shows."""

MAX_PIXELS: Final = 100_000_000
"""Largest image, judged by its header before its pixels are allocated (300 MB of RGB); a 4K frame has 8 million."""

_OPENERS: Final[dict[str, Callable[[bytes], ImageFile]]] = {
    "JPEG": open_jpeg,
    "PNG": open_png,
    "WEBP": open_webp,
    "TIFF": open_tiff,
    "HEIC": open_heic,
    "AVIF": open_avif,
}
# What turns a stored picture upright, by its EXIF orientation.
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow's own alarm, so that it agrees with ours: it warns above this, and raises above twice as much.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS


class DecodedImage(NamedTuple):
    """Pixels (H, W, 3) uint8 sRGB, upright and read-only, and of the file they came from its media type and EXIF."""

    pixels: NDArray[np.uint8]
    media_type: str
    exif: Exif = Exif()


class _MemoryBudget:
    """Lets only so many bytes of pixels be decoded at the same time, by all threads together."""

    def __init__(self, num_bytes: int) -> None:
        self._free = self._total = num_bytes
        self._changed = threading.Condition()

    @contextmanager
    def of(self, num_bytes: int) -> Iterator[None]:
        """Waits until there is room; what is larger than the whole budget waits until it is alone."""
        num_bytes = min(num_bytes, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= num_bytes)
            self._free -= num_bytes
        try:
            yield
        finally:
            with self._changed:
                self._free += num_bytes
                self._changed.notify_all()


_DECODING: Final = _MemoryBudget(20 * MAX_PIXELS)


def decode_image(data: bytes) -> DecodedImage:
    """Decodes a JPEG, PNG, WebP, TIFF, HEIC or AVIF file; of several pictures in it the first, or primary, one.

    The pixels are those that a viewer shows: in sRGB by the embedded colour profile, turned by the EXIF orientation
    (HEIC and AVIF: by the file's own properties). CMYK, palette, grey and 16-bit images become RGB; alpha is dropped,
    and the colours below it count. Metadata, however odd, never makes a file unreadable.

    Raises:
        ImageError: empty, not one of `FORMATS`, animated, too large or too small, or its pixels are damaged.
    """
    if not data:
        raise ImageError(f"the file is empty: send a {ACCEPTED} image")
    image_format = identify(data)
    try:
        opened = _OPENERS[image_format](data)
        _check_size(opened.width, opened.height)
        exif = parse_exif(opened.exif)
        with _DECODING.of(opened.width * opened.height * opened.bytes_per_pixel):
            pixels = _pixels(opened, exif)
    except DamagedError as error:
        raise _damaged(error) from error
    except Image.DecompressionBombError:
        raise ImageError(f"the image has more than {MAX_PIXELS:,} pixels: send a smaller one or cut it") from None
    except UnidentifiedImageError as error:
        raise _damaged(ImageError("its header is broken")) from error
    except (ImageError, MemoryError):
        raise
    # Decoders raise whatever the broken byte leads to (OSError, SyntaxError, struct.error, ...).
    except Exception as error:
        raise _damaged(error) from error
    return DecodedImage(pixels, FORMATS[image_format], exif)


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


def _damaged(error: Exception) -> ImageError:
    reason = " ".join(str(error).split())  # some decoders' messages have line breaks
    return ImageError(f"the image is damaged and cannot be decoded ({reason}): send it again")


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"the image is {width} x {height}, more than {MAX_PIXELS:,} pixels: send a smaller one or cut it"
        )
    if min(width, height) < MIN_SIDE_PX:
        raise ImageError(f"the image is {width} x {height}: a vehicle needs {MIN_SIDE_PX} pixels a side at least")


def _pixels(opened: ImageFile, exif: Exif) -> NDArray[np.uint8]:
    # Each step lets go of the picture before it: there are never more than two at the same time.
    picture = opened.decode()
    turn = _TURNS.get(exif.orientation) if opened.turns else None
    if isinstance(picture, np.ndarray):
        if turn is None and not opened.icc_profile:  # most JPEG files: spared the way through Pillow
            picture.flags.writeable = False
            return picture
        picture = Image.fromarray(picture)
    image = to_srgb(_eight_bits(picture), opened.icc_profile)
    if turn is not None:
        image = image.transpose(turn)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _eight_bits(image: Image.Image) -> Image.Image:
    """The image as grey (L), RGB or CMYK of 8 bits a channel, without alpha."""
    image.load()
    if image.mode.startswith("I"):
        # 16-bit grey; Pillow's own conversion clips at 255 instead of scaling.
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode in ("1", "LA"):
        return image.convert("L")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")
