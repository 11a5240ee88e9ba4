import re

import pytest

from model.file_type import ACCEPTED, identify
from model.image import FORMATS, ImageError
from tests.conftest import picture
from tests.model.image_files import encoded


@pytest.mark.parametrize("image_format", FORMATS)
def test_what_is_read_is_known_by_its_first_bytes(image_format: str) -> None:
    data = encoded(picture(0), image_format)
    assert identify(data) == image_format
    assert identify(data[:64]) == image_format


def test_the_list_for_people_has_every_format() -> None:
    assert [name.upper() for name in re.split(", | or ", ACCEPTED)] == list(FORMATS)


def test_a_bmp_is_named_and_how_to_convert_it() -> None:
    with pytest.raises(ImageError) as refusal:
        identify(encoded(picture(0), "BMP"))
    assert str(refusal.value) == (
        "the file is a BMP image: send JPEG, PNG, WebP, TIFF, HEIC or AVIF, for example after `convert in.bmp out.png`"
    )


CUT_IN_A_CHARACTER = b"x" * 1023 + "ü".encode()


@pytest.mark.parametrize("text", [b"BM is a text", "Grüße".encode(), "Grüße".encode("utf-16"), CUT_IN_A_CHARACTER])
def test_text_is_called_text(text: bytes) -> None:
    with pytest.raises(ImageError, match=r"not a JPEG, PNG, WebP, TIFF, HEIC or AVIF image but text$"):
        identify(text)


@pytest.mark.parametrize("data", [b"\0", b"\x01\x02\xff\xfe", b"text with \0 zeros", bytes(range(128, 200))])
def test_anything_else_is_unknown(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"^the file is not a JPEG, PNG, WebP, TIFF, HEIC or AVIF image$"):
        identify(data)
