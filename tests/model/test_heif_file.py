import numpy as np
import pytest
from PIL import Image

from model.heif_file import brands, is_avif, is_heic, open_avif, open_heic
from model.image_file import ImageError
from tests.conftest import picture
from tests.model.image_files import encoded, stored

RGB = picture(1)


def test_brands_are_the_major_one_and_the_compatible_ones() -> None:
    assert brands(b"\0\0\0\x18ftypmif1\0\0\0\0avifmiaf" + b"rest") == [b"mif1", b"avif", b"miaf"]
    assert brands(b"\0\0\0\x18moov") == []
    assert brands(b"\0\0\0\x18ftypheic\0\0\0\0mi") == [b"heic"]


@pytest.mark.parametrize(
    ("start", "avif", "heic"),
    [
        (b"\0\0\0\x14ftypavif\0\0\0\0mif1", True, False),
        (b"\0\0\0\x14ftypmif1\0\0\0\0avif", True, True),
        (b"\0\0\0\x14ftypmif1\0\0\0\0heic", False, True),
        (b"\0\0\0\x14ftypheix\0\0\0\0mif1", False, True),
        (b"\0\0\0\x14ftypisom\0\0\0\0mp42", False, False),
    ],
)
def test_the_family_is_known_by_its_brands(start: bytes, avif: bool, heic: bool) -> None:
    assert (is_avif(start), is_heic(start)) == (avif, heic)


def test_heic_is_turned_already_and_avif_is_not() -> None:
    exif = b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"
    turned = open_heic(encoded(stored(RGB, 6), "HEIC", exif=exif))
    assert (turned.width, turned.height, turned.turns) == (60, 40, False)
    assert np.abs(np.asarray(turned.decode()).astype(int) - RGB).mean() < 2
    as_stored = open_avif(encoded(stored(RGB, 6), "AVIF", exif=exif))
    assert (as_stored.width, as_stored.height, as_stored.turns) == (40, 60, True)


def test_an_animated_avif_is_refused() -> None:
    with pytest.raises(ImageError, match="animated"):
        open_avif(encoded(RGB, "AVIF", save_all=True, append_images=[Image.fromarray(RGB[::-1])]))
