import base64
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


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\2" + bytes(9) + b"\x60\0\x40\0\x18\0", "a TGA image"),
        (b"\0\0\1\0\1\0\x10\x10", "a Windows icon"),
        (b"\x0a\5\1\x08" + bytes(60), "a PCX image"),
        (b"\x01\xda\0\1" + bytes(60), "an SGI image"),
        (b"icns" + bytes(60), "a Mac icon"),
        (b"\0\0\0\x18ftypjpeg" + bytes(60), "a HEIF image of neither HEVC nor AV1"),
        (b"\x89PNG\n\x1a\n" + bytes(60), "an image that was changed on its way as if it were text"),
        ("\xff\xd8\xff\xe0".encode() + bytes(60), "an image that was changed on its way as if it were text"),
    ],
)
def test_further_formats_are_named(data: bytes, name: str) -> None:
    with pytest.raises(ImageError, match=f"the file is {name}: send "):
        identify(data)


@pytest.mark.parametrize("data", [b"\xff", b"\xff\xd8", b"a\xff"])
def test_a_few_bytes_that_are_no_text_are_not_called_text(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"is not a .* image$"):
        identify(data)


def test_base64_is_named() -> None:
    with pytest.raises(ImageError, match=r"but text .an image in base64: decode it"):
        identify(base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(40)))
