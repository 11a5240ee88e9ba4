import json
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model.preprocessing import Preprocessing, PreprocessingError
from tests.conftest import picture


def triangle(size_in: int, size_out: int) -> NDArray[np.float64]:
    """Weights (out, in) of bilinear resampling whose filter widens where it shrinks: that is the antialias."""
    scale = size_in / size_out
    centres = (np.arange(size_out)[:, None] + 0.5) * scale - 0.5
    weights = np.maximum(0, 1 - np.abs(np.arange(size_in) - centres) / max(scale, 1))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def noise(width: int, height: int) -> NDArray[np.uint8]:
    return np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(("width", "height"), [(300, 200), (17, 90), (64, 64), (1, 1), (640, 33)])
def test_it_is_bilinear_with_antialias(width: int, height: int) -> None:
    crop = noise(width, height)
    resized = Preprocessing(size_px=64)(crop)
    assert resized.dtype == np.uint8
    assert resized.shape == (64, 64, 3)
    rows = np.tensordot(triangle(height, 64), crop.astype(np.float64), axes=(1, 0))  # (64, width, 3)
    expected = np.tensordot(triangle(width, 64), rows, axes=(1, 1)).swapaxes(0, 1)
    assert np.abs(resized - expected).max() < 1.6  # Pillow rounds after each of the two passes


def test_it_is_pillows_resize_to_the_byte() -> None:
    crop = noise(100, 70)
    expected = np.asarray(Image.fromarray(crop).resize((256, 256), Image.Resampling.BILINEAR))
    assert np.array_equal(Preprocessing()(crop), expected)


def test_a_view_into_a_frame_is_resized_like_its_copy() -> None:
    frame = picture(2, 120, 90)
    crop = frame[10:50, 20:83]
    assert not crop.flags.c_contiguous
    assert np.array_equal(Preprocessing(64)(crop), Preprocessing(64)(crop.copy()))


def test_the_default_is_the_papers_size_and_imagenets_normalisation() -> None:
    assert Preprocessing() == Preprocessing(256, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_it_is_read_back_from_its_json() -> None:
    preprocessing = Preprocessing(96, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    fields = preprocessing.to_dict()
    assert fields == {"size_px": 96, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "resize": "bilinear-antialias"}
    assert Preprocessing.from_dict(json.loads(json.dumps(fields))) == preprocessing


def test_reading_leaves_the_callers_fields_alone() -> None:
    fields = Preprocessing().to_dict()
    assert Preprocessing.from_dict(fields) == Preprocessing()
    assert fields == Preprocessing().to_dict()


@pytest.mark.parametrize(
    ("height", "width", "placed"),
    [(20, 40, (16, 0, 48, 64)), (40, 20, (0, 16, 64, 48)), (30, 30, (0, 0, 64, 64)), (1, 500, (31, 0, 32, 64))],
)
def test_padding_keeps_the_aspect_and_centres_the_crop(height: int, width: int, placed: tuple[int, ...]) -> None:
    crop = noise(width, height)
    square = Preprocessing(64, resize="pad")(crop)
    top, left, bottom, right = placed
    inside = Image.fromarray(crop).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
    assert np.array_equal(square[top:bottom, left:right], np.asarray(inside))
    outside = np.ones((64, 64), bool)
    outside[top:bottom, left:right] = False
    assert (square[outside] == np.round(255 * np.array(Preprocessing().mean))).all()


def test_the_way_of_resizing_stands_in_the_checkpoint() -> None:
    fields = Preprocessing(96, resize="pad").to_dict()
    assert fields["resize"] == "bilinear-antialias-pad"
    assert Preprocessing.from_dict(json.loads(json.dumps(fields))) == Preprocessing(96, resize="pad")


def test_another_way_of_resizing_is_refused() -> None:
    with pytest.raises(PreprocessingError, match="resize must be one of stretch, pad; got 'crop'"):
        Preprocessing(64, resize="crop")  # type: ignore[arg-type]


@pytest.mark.parametrize("size_px", [32, 48, 2048])
def test_the_sizes_at_the_limits_are_taken(size_px: int) -> None:
    assert Preprocessing(size_px)(noise(5, 5)).shape == (size_px, size_px, 3)


@pytest.mark.parametrize("size_px", [-64, 0, 16, 31, 33, 40, 2047, 2064])
def test_other_sizes_are_refused(size_px: int) -> None:
    with pytest.raises(PreprocessingError, match=f"multiple of 16 between 32 and 2048, got {size_px}"):
        Preprocessing(size_px)


@pytest.mark.parametrize(
    ("mean", "std", "reason"),
    [
        ((math.nan, 0, 0), (1, 1, 1), "mean must hold three finite numbers"),
        ((0, 0, 0), (1, math.inf, 1), "std must hold three finite numbers"),
        ((0, 0, 0), (1, 1, math.nan), "std must hold three finite numbers"),
        ((0, 0, 0), (1, 0, 1), "std must be above 0"),
        ((0, 0, 0), (1, 1, -1), "std must be above 0"),
    ],
)
def test_an_impossible_normalisation_is_refused(
    mean: tuple[float, float, float], std: tuple[float, float, float], reason: str
) -> None:
    with pytest.raises(PreprocessingError, match=reason):
        Preprocessing(64, mean, std)


@pytest.mark.parametrize(
    "change",
    [
        {"resize": "bicubic"},
        {"resize": None},
        {"size_px": "256"},
        {"size_px": 100},
        {"mean": [0.5, 0.5]},
        {"mean": 0.5},
        {"std": [1, 1, 1, 1]},
        {"std": ["1", "1", "1"]},
        {"std": None},
    ],
)
def test_fields_of_another_preprocessing_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(PreprocessingError):
        Preprocessing.from_dict(Preprocessing().to_dict() | change)


@pytest.mark.parametrize("name", ["size_px", "mean", "std", "resize"])
def test_a_missing_field_is_refused(name: str) -> None:
    fields = Preprocessing().to_dict()
    del fields[name]
    with pytest.raises(PreprocessingError, match=name):
        Preprocessing.from_dict(fields)


@pytest.mark.parametrize("fields", [{"crop": "center"}, {"size_px": 64.0}, {"mean": [0, 0]}, {"std": None}])
def test_a_field_that_means_nothing_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(PreprocessingError):
        Preprocessing.from_dict({**Preprocessing().to_dict(), **fields})
