import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.screenshots import MOST_BYTES, compressed
from model.image import encode_image


def test_a_picture_is_as_good_as_fits() -> None:
    ramp = np.linspace(0, 255, 1600, dtype=np.uint8)
    plain = np.broadcast_to(ramp[:, None, None], (1600, 2560, 3)).copy()
    small = compressed(encode_image(plain, "PNG"))
    assert len(small) <= MOST_BYTES
    shown = Image.open(io.BytesIO(small))
    assert (shown.format, shown.size) == ("WEBP", (2560, 1600))
    off = np.abs(np.asarray(shown.convert("RGB"), np.int16) - plain.astype(np.int16))
    assert off.mean() < 2


def test_a_picture_that_cannot_be_small_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (800, 1280, 3), np.uint8)
    with pytest.raises(ValueError, match="more than 200,000"):
        compressed(encode_image(noise, "PNG"))
