"""A file and what becomes of it, and the pictures that the files show."""

from typing import NamedTuple

import numpy as np

from tests.conftest import picture
from tests.model import icc_profiles as icc
from tests.model.image_files import Pixels
from tests.model.tiff_bytes import Value

RGB = picture(1, 96, 64)
MUTED = icc.muted(RGB)
GREY = RGB[:, :, 0]
DEEP_GREY = GREY.astype(np.uint16) * 257
INKS = np.concatenate([RGB, GREY[:, :, None]], axis=2) // 2
SIZE: dict[int, Value] = {256: 96, 257: 64}  # width and height as TIFF tags
XMP_ORIENTATION = b'<rdf:Description tiff:Orientation="6"/>'
REFUSED = "the image is damaged and cannot be decoded"


class Case(NamedTuple):
    """A file, and what it gives: pixels, within a mean tolerance in levels, or a part of the message that refuses."""

    group: str
    name: str
    data: bytes
    expected: Pixels | str
    how: str
    tolerance: float = 0


def grey_rgb(grey: Pixels) -> Pixels:
    return np.stack([grey] * 3, axis=2)
