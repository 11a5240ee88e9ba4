import numpy as np
import pytest

from model.image_file import DamagedError
from model.webp_file import open_webp
from tests.conftest import picture
from tests.model.image_files import encoded, riff, riff_chunks

RGB = picture(1, 61, 43)


@pytest.mark.parametrize("lossless", [False, True])
def test_pixels_exif_and_profile_are_taken_apart(lossless: bool) -> None:
    data = encoded(RGB, "WEBP", lossless=lossless, exif=b"block", icc_profile=b"profile")
    opened = open_webp(data)
    assert (opened.width, opened.height, opened.exif, opened.icc_profile) == (61, 43, b"block", b"profile")
    assert np.abs(np.asarray(opened.decode()).astype(int)[:, :, :3] - RGB).mean() < (0.01 if lossless else 6)


def test_lossy_pixels_are_the_same_without_their_alpha() -> None:
    alpha = np.concatenate([RGB, picture(2, 61, 43)[:, :, :1]], axis=2)
    data = encoded(alpha, "WEBP", lossless=False)
    assert b"ALPH" in dict(riff_chunks(data))
    opaque = riff(*(chunk for chunk in riff_chunks(data) if chunk[0] == b"VP8 "))
    np.testing.assert_array_equal(np.asarray(open_webp(data).decode()), np.asarray(open_webp(opaque).decode()))


@pytest.mark.parametrize(
    "chunks", [[], [(b"VP8 ", b"")], [(b"VP8L", b"\x2f")], [(b"EXIF", b"block")], [(b"ANMF", b"")]]
)
def test_without_pixels_there_is_no_image(chunks: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(DamagedError):
        open_webp(riff(*chunks))


def test_an_animation_of_one_frame_is_a_picture() -> None:
    (kind, pixels), *_ = riff_chunks(encoded(RGB, "WEBP"))
    size = (60).to_bytes(3, "little") + (42).to_bytes(3, "little")
    frame = (
        bytes(6) + size + bytes(3) + b"\2" + kind + len(pixels).to_bytes(4, "little") + pixels + bytes(len(pixels) % 2)
    )
    data = riff((b"VP8X", b"\2\0\0\0" + size), (b"ANIM", bytes(6)), (b"ANMF", frame))
    opened = open_webp(data)
    assert (opened.width, opened.height) == (61, 43)
    np.testing.assert_array_equal(np.asarray(opened.decode())[:, :, :3], RGB)
