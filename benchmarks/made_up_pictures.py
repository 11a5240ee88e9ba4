"""Pictures that no camera took, as costly to decode as a photograph."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def made_up_picture(seed: int, width: int, height: int) -> NDArray[np.uint8]:
    """Smooth patches under a sensor's noise (height, width, 3)."""
    rng = np.random.default_rng(seed)
    patches = Image.fromarray(rng.integers(0, 256, (height // 40 + 1, width // 40 + 1, 3), np.uint8))
    smooth = np.asarray(patches.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    noise = rng.integers(-12, 13, (height, width, 1), np.int16)
    noisy: NDArray[np.int16] = np.clip(smooth + noise, 0, 255)
    return noisy.astype(np.uint8)


def jpeg(picture: NDArray[np.uint8]) -> bytes:
    """A picture (height, width, 3) as a JPEG file of quality 90."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=90)
    return file.getvalue()


def numbered(file: bytes, number: int) -> bytes:
    """The same JPEG picture in other bytes: the number stands in a comment behind the file's first marker."""
    comment = str(number).encode()
    return file[:2] + b"\xff\xfe" + (2 + len(comment)).to_bytes(2, "big") + comment + file[2:]
