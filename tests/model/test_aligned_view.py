import numpy as np
import pytest

from model.aligned_view import aligned_view, padding_of
from model.config import BaselineConfig, Padding, SANetConfig
from tests.conftest import picture
from tests.model import naive

IDENTITY = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


def test_the_identity_shows_the_image_and_leaves_it_alone() -> None:
    image = picture(0, 64, 64)
    image.flags.writeable = False
    view = aligned_view(image, IDENTITY)
    assert view.dtype == np.uint8
    assert np.array_equal(view, image)
    view[:] = 0
    assert image.any()


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_the_view_samples_the_image_as_written_down(padding: Padding) -> None:
    image = picture(1, 24, 24)
    theta = np.eye(2, 3) + np.random.default_rng(2).normal(scale=0.4, size=(2, 3))
    expected = naive.warp(image.transpose(2, 0, 1).astype(np.float64), theta, padding).transpose(1, 2, 0)
    assert np.abs(aligned_view(image, theta, padding) - expected).max() < 0.51  # rounded to the nearest


def test_zooming_out_shows_the_padding() -> None:
    image = np.full((32, 32, 3), 200, np.uint8)
    twice = [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
    view = aligned_view(image, twice)
    assert (view[8:24, 8:24] == 200).all()
    assert not view[:7].any()
    assert not view[:, 25:].any()
    assert (aligned_view(image, twice, "border") == 200).all()


def test_the_picture_is_padded_as_the_network_pads() -> None:
    assert padding_of(SANetConfig(padding="reflection")) == "reflection"
    assert padding_of(BaselineConfig()) == "zeros"
